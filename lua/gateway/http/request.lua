--- An HTTP request as expressions and balancers read it: see `gateway.expression` for the shape.
--
--     host   lower case, without a port; nil when the client named none
--     path   decoded and normalised
--     raw    the handle of `resty.ngxvar`
--
-- Everything else is a method, is read when first asked for, and is nil when the request does not have it.

local ngxvar = require "resty.ngxvar"
local proxies = require "gateway.http.proxies"

local concat = table.concat
local fetch = ngxvar.fetch
local find = string.find
local get_headers = ngx.req.get_headers
local get_method = ngx.req.get_method
local get_uri_args = ngx.req.get_uri_args
local gsub = string.gsub
local lower = string.lower
local origin_of = proxies.origin
local raw_request = ngxvar.request
local rawget = rawget
local setmetatable = setmetatable
local trust = proxies.trust
local type = type

-- A client that sends more arguments than this does not get all of them looked at.
local MOST_ARGUMENTS = 1000
local MOST_NAMES = 10000

-- Name of a header -> nginx's variable for it, and whether other names have the same variable. Names come from policies, so they are few,
-- but policies change.
local variables, shared = {}, {}
local variable_count = 0


local function variable_of(name)
    local variable = variables[name]
    if variable then
        return variable
    end
    if variable_count >= MOST_NAMES then
        variables, shared, variable_count = {}, {}, 0
    end
    variable = "http_" .. gsub(lower(name), "-", "_")
    variables[name], shared[name] = variable, find(variable, "_", #"http_" + 1, true) ~= nil
    variable_count = variable_count + 1
    return variable
end


-- nginx gives some variables as an empty text when there is nothing.
local function present(value)
    if value == "" then
        return nil
    end
    return value
end


local _M = {}
local mt = { __index = _M }


--- The request that is being served.
function _M.new()
    local raw = raw_request()
    -- Not a tail call: LuaJIT could not translate this function by itself.
    local request = setmetatable({ host = present(fetch("host", raw)), path = fetch("uri", raw), raw = raw }, mt)
    return request
end


function _M.method()
    return get_method()
end


-- To nginx's variables X-A and X_A are one header; to those who set or remove one of them on the way they are two.
local function exact_header(self, name)
    local headers = self.headers
    if not headers then
        headers = get_headers(0)
        self.headers = headers
    end
    local value = rawget(headers, lower(name))
    if type(value) == "table" then
        value = concat(value, ", ")
    end
    return value
end


--- The value of a header, several of one name joined by ", ".
-- @param name in any case
function _M:header(name)
    local value = fetch(variable_of(name), self.raw)
    if value and shared[name] then
        return exact_header(self, name)
    end
    return value
end


--- The client's address: the peer's, or what that tells if it is a trusted proxy.
function _M:source()
    local peer = fetch("remote_addr", self.raw)
    if not trust(peer) then
        return peer
    end
    return present(self:header("x-real-ip")) or origin_of(self:header("x-forwarded-for")) or peer
end


--- The first value of an argument of the query, decoded; "" for one that came without a value.
function _M:param(name)
    local arguments = self.arguments
    if not arguments then
        arguments = get_uri_args(MOST_ARGUMENTS)
        self.arguments = arguments
    end
    local value = arguments[name]
    if type(value) == "table" then
        value = value[1]
    end
    if value == true then
        return ""
    end
    return value
end


--- The first cookie of this name.
function _M:cookie(name)
    local value = fetch("cookie_" .. name, self.raw)
    return value
end


return _M
