--- A backend group: JSON text -> Group.
--
--   { name, mode = "http" | "https" | "tcp" | "udp" | "grpc", affinity = nil | "sip-hash" | "cookie" | "header",
--     attribute = name of the cookie or header | nil, peers = { { id, address, port, weight }, ... }, problems = { text, ... },
--     check = see gateway.health.check | nil, is_idle = true when it has backends, whose weights are all 0,
--     unknown = { name, ... } | nil, as of a rule }
--
-- peers: id is "address:port", IPv6 in brackets, as `address` is; each pair of address and port once, weights added up.
-- Backends that take no traffic (weight 0) are not among them. problems: one text for each backend that cannot be used.

local address = require "gateway.address"
local checks = require "gateway.health.check"
local fields = require "gateway.fields"
local printable = require "gateway.printable"
local unknown = require "gateway.unknown"

local concat = table.concat

local MODES = { http = "http", https = "https", tcp = "tcp", udp = "udp", grpc = "grpc" }
local AFFINITIES = { ["sip-hash"] = "sip-hash", cookie = "cookie", header = "header" }
local DEFAULT_COOKIE = "JSESSIONID"
local MOST_PORT = 65535
local MOST_WEIGHT = 1000000

local KNOWN = {
    name = true, mode = true, session_affinity_policy = true, session_affinity_attribute = true,
    backends = { { address = true, port = true, weight = true } }, health_check = checks.MEMBERS,
}

local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"  -- names of cookies and headers

local function read_address(backend)
    local text = backend:text("address")
    if not text then
        return backend:any("address") == nil and backend:complain("address", "missing") or nil
    end
    local found = address.bracketed(text)
    if not found then
        backend:complain("address", "'%s' is not an IP address", printable(text))
    end
    return found
end

local function read_port(backend)
    if backend:any("port") == nil then
        return backend:complain("port", "missing")
    end
    return backend:integer("port", 1, MOST_PORT)
end

-- address, port, weight of a usable backend; else nil and the problem.
local function read_backend(value, place)
    if not fields.is_object(value) then
        return nil, place .. ": " .. fields.kind_of(value) .. ", not an object"
    end
    local problems = {}
    local backend = fields.new(value, problems, place)
    local found, port = read_address(backend), read_port(backend)
    local weight = backend:any("weight") == nil and 1 or backend:integer("weight", 0, MOST_WEIGHT)
    if #problems > 0 then
        return nil, concat(problems, "; ")
    end
    return found, port, weight
end

-- The usable backends as peers, and the problems of the others.
local function read_peers(backends)
    local peers, by_endpoint, problems = {}, {}, {}
    for i = 1, #backends do
        local found, port, weight = read_backend(backends[i], "backends[" .. i - 1 .. "]")
        if not found then
            problems[#problems + 1] = port
        elseif weight > 0 then
            local endpoint = address.key(found) .. port
            local peer = by_endpoint[endpoint]
            if peer then
                peer.weight = peer.weight + weight
            else
                peer = { id = found .. ":" .. port, address = found, port = port, weight = weight }
                by_endpoint[endpoint] = peer
                peers[#peers + 1] = peer
            end
        end
    end
    return peers, problems
end

-- How requests of one client find the same peer again: policy, name of the cookie or header.
local function read_affinity(group)
    local affinity = group:choice("session_affinity_policy", AFFINITIES)
    local attribute = group:text("session_affinity_attribute")
    if affinity == nil or affinity == "sip-hash" then
        return affinity
    end
    if not attribute and affinity == "cookie" then
        return affinity, DEFAULT_COOKIE
    end
    if not attribute then
        group:complain("session_affinity_attribute", "missing, but the policy is 'header'")
    elseif not attribute:find(TOKEN) then
        group:complain("session_affinity_attribute", "'%s' is not the name of a %s", printable(attribute), affinity)
    end
    return affinity, attribute
end


local _M = {}


--- Returns the group, or nil, err (all problems, joined with "; ") and the group's name when it could be read.
function _M.parse(text)
    local problems = {}
    local group, err = fields.decode(text, problems)
    if not group then
        return nil, err
    end
    local name, mode = group:line("name"), group:choice("mode", MODES)
    for _, required in ipairs({ "name", "mode" }) do
        if group:any(required) == nil then
            group:complain(required, "missing")
        end
    end
    local affinity, attribute = read_affinity(group)
    local check = group:fields("health_check")
    check = check and checks.read(check)
    local backends = group:list("backends") or {}
    local peers, left_out = read_peers(backends)
    if #problems > 0 then
        return nil, concat(problems, "; "), name
    end
    return {
        name = name, mode = mode, affinity = affinity, attribute = attribute, peers = peers, problems = left_out,
        check = check, is_idle = #backends > #left_out and #peers == 0 or nil, unknown = unknown.members(group.object, KNOWN).names,
    }
end


return _M
