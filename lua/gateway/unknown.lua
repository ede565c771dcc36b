--- Members of the policy that the gateway does not know.
--
-- Most of them only miss their effect, and are named in a warning. One that restricts access must not be passed over: without
-- it the backend would answer every client.

local fields = require "gateway.fields"
local null = require("cjson").null
local printable = require "gateway.printable"

local find = string.find
local gmatch = string.gmatch
local gsub = string.gsub
local is_list = fields.is_list
local is_object = fields.is_object
local lower = string.lower
local next = next
local pairs = pairs
local type = type

local MOST_NAME = 64
-- Levels below an unknown member that are looked at.
local DEEPEST = 8

-- Words of a name that say that a member decides who may pass, and how often.
local RESTRICTING = {}
for word in gmatch([[plugin plugins waf modsecurity firewall security access acl allow allowlist whitelist deny denylist blacklist
    blocklist restrict restriction restrictions jwt oidc saml ldap sso csrf captcha mtls verify permission permissions limit limits
    ratelimit throttle quota token credential credentials]], "%l+") do
    RESTRICTING[word] = true
end


-- Whether one of the words of a name ("basicAuth", "ip_allow_list") restricts. CORS restricts browsers alone.
local function restricts(name)
    if find(name, "^cors_") or find(name, "access_?log") then
        return false
    end
    for word in gmatch(lower((gsub(name, "(%l)(%u)", "%1 %2"))), "%w+") do
        if RESTRICTING[word] or find(word, "^o?auth") and not find(word, "^authors?$") then
            return true
        end
    end
    return false
end


-- Controllers write what is not set in many ways.
local function is_set(value)
    return value ~= null and value ~= "" and value ~= false and value ~= 0 and not (type(value) == "table" and next(value) == nil)
end


-- Whether a member, or one inside it, restricts.
local function restricts_anywhere(name, value, depth)
    if type(name) == "string" and restricts(name) then
        return true
    end
    if type(value) ~= "table" or depth > DEEPEST then
        return false
    end
    for inner, each in pairs(value) do
        if is_set(each) and restricts_anywhere(inner, each, depth + 1) then
            return true
        end
    end
    return false
end


local function look(object, known, place, found)
    for name, value in pairs(object) do
        local inside = known[name]
        if inside == nil and type(name) == "string" and is_set(value) then
            local label = place .. printable(name:sub(1, MOST_NAME))
            found.names = found.names or {}
            found.names[#found.names + 1] = label
            if restricts_anywhere(name, value, 1) then
                found.restricting = found.restricting or {}
                found.restricting[#found.restricting + 1] = label
            end
        elseif type(inside) == "table" and is_object(value) then
            look(value, inside, place .. name .. ".", found)
        elseif type(inside) == "table" and inside[1] and is_list(value) then
            for i = 1, #value do
                if is_object(value[i]) then
                    look(value[i], inside[1], place .. name .. "[].", found)
                end
            end
        end
    end
end


local _M = {}


--- Looks for unknown members in a decoded object.
-- @param known name -> true, or what is known inside an object, or { what is known of each element of a list }
-- @return { names = list | nil, restricting = list of those that restrict access | nil }
function _M.members(object, known)
    local found = {}
    look(object, known, "", found)
    return found
end


return _M
