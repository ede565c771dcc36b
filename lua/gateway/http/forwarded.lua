--- The headers by which the backend is told where a request came from (X-Real-IP, X-Forwarded-..., Forwarded).
--
-- The configuration sends them, each from a variable that has what the gateway knows itself. A client's own headers of these
-- names are dropped with that, unless the peer is a trusted proxy.

local proxies = require "gateway.http.proxies"

local find = string.find
local get_headers = ngx.req.get_headers
local gsub = string.gsub
local lower = string.lower
local pairs = pairs
local rawget = rawget
local req = ngx.req
local req_add_header = require("ngx.req").add_header
local type = type
local var = ngx.var

local FORWARDED_FOR = "x-forwarded-for"

-- Header -> variable.
local VARIABLES = {
    ["x-real-ip"] = "gateway_real_ip",
    ["x-forwarded-for"] = "gateway_forwarded_for",
    ["x-forwarded-proto"] = "gateway_forwarded_proto",
    ["x-forwarded-host"] = "gateway_forwarded_host",
    ["x-forwarded-port"] = "gateway_forwarded_port",
    ["x-forwarded-prefix"] = "gateway_forwarded_prefix",
    ["x-forwarded-server"] = "gateway_forwarded_server",
    ["x-forwarded-scheme"] = "gateway_forwarded_scheme",
    ["x-forwarded-ssl"] = "gateway_forwarded_ssl",
    ["forwarded"] = "gateway_forwarded",
}


local function remove(name)
    local variable = VARIABLES[lower(name)]
    if variable then
        var[variable] = ""
    else
        req.clear_header(name)
    end
end


local function set(name, value)
    local variable = VARIABLES[lower(name)]
    if variable then
        var[variable] = value
    else
        req.set_header(name, value)
    end
end


local function add(name, value)
    local variable = VARIABLES[lower(name)]
    if not variable then
        return req_add_header(name, value)
    end
    local before = var[variable]
    var[variable] = before and before ~= "" and before .. ", " .. value or value
end


-- Where "-" and "_" are the same, as in CGI.
local function fold(name)
    return (gsub(lower(name), "-", "_"))
end


local function note(names, name)
    names[fold(name)] = lower(name)
end


-- Drops headers of the client that a backend may take for one that the rule changes.
local function drop_lookalikes(changes)
    local names = {}
    for i = 1, #changes.remove do
        note(names, changes.remove[i])
    end
    for _, list in pairs({ changes.set, changes.add }) do
        for i = 1, #list do
            note(names, list[i][1])
        end
    end
    for name in pairs(get_headers(0, true)) do
        local own = names[fold(name)]
        if own and own ~= lower(name) then
            req.clear_header(name)
        end
    end
end


local _M = {
    -- For `gateway.headers`: changes to the request that a rule asks for.
    add = add,
    remove = remove,
    set = set,
    drop_lookalikes = drop_lookalikes,
}


--- Hands on what the peer told of the request, if it is a trusted proxy.
-- @param peer its address
function _M.pass_on(peer)
    if not proxies.trust(peer) then
        return
    end
    local headers = get_headers(0)
    for name, variable in pairs(VARIABLES) do
        local told = rawget(headers, name)
        if type(told) == "table" then
            told = table.concat(told, ", ")
        end
        if told and find(told, "%S") then
            var[variable] = name == FORWARDED_FOR and told .. ", " .. peer or told
        end
    end
end


return _M
