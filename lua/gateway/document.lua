--- The policy document: its text taken apart into the raw JSON texts of its members, without decoding them.
--
-- The reader compares these texts with those it knows, so that only what changed is ever decoded. The whole text is checked
-- against JSON's grammar on the way, unknown members are read over, null stands for an absent section.
--
--   { certificates = { { domain, text }, ... },
--     http = { tcp = { { port, { text, ... } }, ... } },
--     stream = { tcp = as in http, udp = as in http },
--     groups = { text, ... } }
--
-- port is a number. Of members with the same name in one object the last counts, at the place of the first.

local decode = require("cjson.safe").decode
local printable = require "gateway.printable"
local scanner = require "gateway.document.scanner"

local find = string.find
local format = string.format

local MOST_PORT = 65535

-- What is wrong with the shape, or nil where a section is null: then it is absent.
local function expect_object(scan, i, place)
    if scan:is_object(i) then
        return true
    end
    if not scan:is_null(i) then
        scan.fail(i, "%s is not an object", place)
    end
    return false
end

local function expect_list(scan, i, place)
    if scan:is_list(i) then
        return true
    end
    if not scan:is_null(i) then
        scan.fail(i, "%s is not a list", place)
    end
    return false
end

-- A member's name without its escapes.
local function unescape(scan, name, i)
    if not find(name, "\\", 1, true) then
        return name
    end
    local list, err = decode('["' .. name .. '"]')
    if not list then
        scan.fail(i, "a member's name cannot be decoded: %s", err)
    end
    return list[1]
end

-- Puts { name, value } where that name stood before, or at the end.
local function put(list, positions, name, value)
    local position = positions[name] or #list + 1
    positions[name] = position
    list[position] = { name, value }
end

-- Reads the list of objects at i, returns the position behind it and their texts.
local function read_objects(scan, i, place)
    if not expect_list(scan, i, place) then
        return scan:skip_value(i), nil
    end
    local texts = {}
    local behind = scan:each_element(i, function(index, at)
        if not scan:is_object(at) then
            scan.fail(at, "%s[%d] is not an object", place, index)
        end
        local next_at, text = scan:slice(at)
        texts[index + 1] = text
        return next_at
    end)
    return behind, texts
end

local function read_port(scan, name, place, i)
    local port = find(name, "^[1-9]%d?%d?%d?%d?$") and tonumber(name)
    if not port or port > MOST_PORT then
        scan.fail(i, "%s.%s: not a port from 1 to %d", place, printable(name), MOST_PORT)
    end
    return port
end

-- Reads port -> list of rules.
local function read_ports(scan, i, place)
    local ports, positions = {}, {}
    if not expect_object(scan, i, place) then
        return scan:skip_value(i), ports
    end
    local behind = scan:each_member(i, function(name, at)
        local port = read_port(scan, unescape(scan, name, at), place, at)
        local next_at, texts = read_objects(scan, at, place .. "." .. port)
        put(ports, positions, port, texts or {})
        return next_at
    end)
    return behind, ports
end

-- Reads protocol -> ports for the protocols of `found`, whose values it replaces.
local function read_subsystem(scan, i, place, found)
    if not expect_object(scan, i, place) then
        return scan:skip_value(i)
    end
    return scan:each_member(i, function(name, at)
        local protocol = unescape(scan, name, at)
        if not found[protocol] then
            return scan:skip_value(at)
        end
        local behind, ports = read_ports(scan, at, place .. "." .. protocol)
        found[protocol] = ports
        return behind
    end)
end

local function read_certificates(scan, i)
    local certificates, positions = {}, {}
    if not expect_object(scan, i, "certificate_map") then
        return scan:skip_value(i), certificates
    end
    local behind = scan:each_member(i, function(name, at)
        local domain = unescape(scan, name, at)
        if not scan:is_object(at) then
            scan.fail(at, "certificate_map.%s is not an object", printable(domain))
        end
        local next_at, text = scan:slice(at)
        put(certificates, positions, domain, text)
        return next_at
    end)
    return behind, certificates
end

-- By name of a section, how to read it into doc.
local SECTIONS = {
    certificate_map = function(scan, i, doc)
        i, doc.certificates = read_certificates(scan, i)
        return i
    end,
    http = function(scan, i, doc)
        doc.http = { tcp = {} }
        return read_subsystem(scan, i, "http", doc.http)
    end,
    stream = function(scan, i, doc)
        doc.stream = { tcp = {}, udp = {} }
        return read_subsystem(scan, i, "stream", doc.stream)
    end,
    backend_group = function(scan, i, doc)
        local groups
        i, groups = read_objects(scan, i, "backend_group")
        doc.groups = groups or {}
        return i
    end,
}

local function read_document(scan)
    local doc = { certificates = {}, http = { tcp = {} }, stream = { tcp = {}, udp = {} }, groups = {} }
    local i = scan:skip_space(0)
    if not scan:is_object(i) then
        scan.fail(i, "the policy is not an object")
    end
    i = scan:each_member(i, function(name, at)
        local read = SECTIONS[unescape(scan, name, at)]
        if read then
            return read(scan, at, doc)
        end
        return scan:skip_value(at)
    end)
    i = scan:skip_space(i)
    if i ~= #scan.text then
        scan.fail(i, "something follows the policy's end")
    end
    return doc
end


local _M = {}


--- text: the policy file's content. pause: function that is called about every 256 KiB of it, or nil.
-- Returns the document, or nil, err: "line 3, column 7: http.tcp.80[3] is not an object" (elements are counted from 0).
function _M.split(text, pause)
    local scan = scanner.new(text, pause)
    local ok, result = pcall(read_document, scan)
    if ok then
        return result
    end
    if type(result) ~= "table" or not result.at then
        error(result, 0)
    end
    if result.at >= #text then
        return nil, format("%s: the text ends here, but %s", scan:place(#text), result.message_at_end or result.message)
    end
    return nil, scan:place(result.at) .. ": " .. result.message
end


return _M
