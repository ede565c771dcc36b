--- Cross-origin requests: what a rule with CORS allows.
--
-- A rule's cors is { origin, headers }: origin is "*", one origin, or several separated by commas; headers is what
-- Access-Control-Allow-Headers says. With a list the answer names the request's own origin, or nothing when it is not on the list,
-- and says that it varies by it. A list with "*" on it allows any.

local gmatch = string.gmatch
local type = type

local METHODS = "GET, PUT, POST, DELETE, PATCH, OPTIONS"
local MAX_AGE = "1728000"
local ANY = "*"


--- Is this the question that a browser asks before the request itself?
-- @param request with the methods `method` and `header`
local function is_preflight(request)
    return request:method() == "OPTIONS" and request:header("origin") ~= nil
        and request:header("access-control-request-method") ~= nil
end


-- The origin to name in the answer; nil when the request's is not allowed. Where any is, none is named: to one that is named,
-- browsers show what they are given with the user's cookies.
local function allowed_origin(list, origin)
    local allowed
    for item in gmatch(list, "[^,%s]+") do
        if item == ANY then
            return ANY
        end
        if item == origin then
            allowed = origin
        end
    end
    return allowed
end


-- The answer differs by the request's Origin, besides what the backend said it differs by.
local function add_vary(header)
    local vary = header["Vary"]
    if type(vary) == "table" then
        vary[#vary + 1] = "Origin"
    else
        vary = vary and { vary, "Origin" } or "Origin"
    end
    header["Vary"] = vary
end


local _M = { is_preflight = is_preflight }


--- Set the headers of an answer.
-- @param cors of the rule
-- @param header what to set them in, as `ngx.header`
-- @param origin the request's Origin header or nil
-- @param preflight whether this answers a preflight
function _M.apply(cors, header, origin, preflight)
    local allowed = allowed_origin(cors.origin, origin)
    header["Access-Control-Allow-Origin"] = allowed
    if cors.origin ~= ANY then
        add_vary(header)
    end
    if not allowed then
        return
    end
    if allowed ~= ANY then
        header["Access-Control-Allow-Credentials"] = "true"
    end
    if preflight then
        header["Access-Control-Allow-Methods"] = METHODS
        header["Access-Control-Allow-Headers"] = cors.headers
        header["Access-Control-Max-Age"] = MAX_AGE
    end
end


return _M
