--- What expressions and balancers read of an HTTP request: see `gateway.expression` for the shape.
--
--     host   lower case, without a port; nil when the client named none
--     path   decoded and normalised
--     raw    the handle of `resty.ngxvar`
--
-- Everything else is a method, is read when first asked for, and is nil when the request does not have it.

local cookies = require "resty.cookie"
local ngxvar = require "resty.ngxvar"

local fetch = ngxvar.fetch
local get_method = ngx.req.get_method
local get_uri_args = ngx.req.get_uri_args
local gsub = string.gsub
local match = string.match
local raw_request = ngxvar.request
local setmetatable = setmetatable
local type = type

-- A client that sends more arguments than this does not get all of them looked at.
local MOST_ARGUMENTS = 1000
local MOST_NAMES = 10000

-- An address has no blank in it. A pattern that takes blanks and gives them back would keep the worker busy for seconds with a header
-- that is full of them.
local FIRST_OF_LIST = "^%s*([^%s,]+)"

-- Name of a header in lower case -> nginx's variable for it. Names come from policies, so they are few, but policies change.
local variables = {}
local variable_count = 0


local function variable_of(name)
    local variable = variables[name]
    if variable then
        return variable
    end
    if variable_count >= MOST_NAMES then
        variables, variable_count = {}, 0
    end
    variable = "http_" .. gsub(name, "-", "_"):lower()
    variables[name] = variable
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


--- The value of a header, several of one name joined by ", ".
-- @param name in any case
function _M:header(name)
    return fetch(variable_of(name), self.raw)
end


--- The client's address, as a proxy in front of the gateway tells it, else the address of the peer.
function _M:source()
    local raw = self.raw
    local real = present(fetch("http_x_real_ip", raw))
    if real then
        return real
    end
    local forwarded = fetch("http_x_forwarded_for", raw)
    return forwarded and match(forwarded, FIRST_OF_LIST) or fetch("remote_addr", raw)
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


function _M:cookie(name)
    local jar = self.jar
    if jar == nil then
        jar = cookies:new() or false
        self.jar = jar
    end
    return jar and jar:get(name) or nil
end


return _M
