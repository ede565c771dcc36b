--- The policy document: its members found in the bytes of the file, without decoding them or copying them into strings.
--
-- The reader compares their fingerprints with those it knows, so that only what changed is ever decoded. The whole text is
-- checked against JSON's grammar on the way, null stands for an absent section.
--
--   { certificates = { names = { domain, ... }, spans },
--     http = { tcp = { { port, spans }, ... } },
--     stream = { tcp = as in http, udp = as in http },
--     groups = spans,
--     unknown = { name, ... } }    sections that are not known
--
-- spans are as in `gateway.document.spans`, port is a number. Of members with the same name in one object the last counts, at the
-- place of the first.

local decode = require("cjson.safe").decode
local printable = require "gateway.printable"
local scanner = require "gateway.document.scanner"
local spans = require "gateway.document.spans"

local find = string.find
local format = string.format

local MOST_PORT = 65535
local MOST_UNKNOWN = 100

-- The fault of the shape, or nil where a section is null: then it is absent.
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

-- Reads the list of objects at i, returns the position behind it and where they lie.
local function read_objects(scan, i, place)
    if not expect_list(scan, i, place) then
        return scan:skip_value(i), spans.new(scan.content)
    end
    local found = spans.new(scan.content)
    local behind = scan:each_element(i, function(index, at)
        if not scan:is_object(at) then
            scan.fail(at, "%s[%d] is not an object", place, index)
        end
        local next_at = scan:skip_value(at)
        found:put(index + 1, at, next_at)
        return next_at
    end)
    return behind, found
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
        local next_at, found = read_objects(scan, at, place .. "." .. port)
        local position = positions[port] or #ports + 1
        positions[port] = position
        ports[position] = { port, found }
        return next_at
    end)
    return behind, ports
end

-- Reads over a section that is not known, and notes its name unless it is null.
local function skip_unknown(scan, i, doc, name)
    if not scan:is_null(i) and #doc.unknown < MOST_UNKNOWN then
        doc.unknown[#doc.unknown + 1] = printable(name)
    end
    return scan:skip_value(i)
end

-- Reads protocol -> ports for the protocols of `found`, whose values it replaces.
local function read_subsystem(scan, i, place, found, doc)
    if not expect_object(scan, i, place) then
        return scan:skip_value(i)
    end
    return scan:each_member(i, function(name, at)
        local protocol = unescape(scan, name, at)
        if not found[protocol] then
            return skip_unknown(scan, at, doc, place .. "." .. protocol)
        end
        local behind, ports = read_ports(scan, at, place .. "." .. protocol)
        found[protocol] = ports
        return behind
    end)
end

local function no_certificates(scan)
    return { names = {}, spans = spans.new(scan.content) }
end

local function read_certificates(scan, i)
    local certificates, positions = no_certificates(scan), {}
    if not expect_object(scan, i, "certificate_map") then
        return scan:skip_value(i), certificates
    end
    local behind = scan:each_member(i, function(name, at)
        local domain = unescape(scan, name, at)
        if not scan:is_object(at) then
            scan.fail(at, "certificate_map.%s is not an object", printable(domain))
        end
        local next_at = scan:skip_value(at)
        local position = positions[domain] or #certificates.names + 1
        positions[domain] = position
        certificates.names[position] = domain
        certificates.spans:put(position, at, next_at)
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
        return read_subsystem(scan, i, "http", doc.http, doc)
    end,
    stream = function(scan, i, doc)
        doc.stream = { tcp = {}, udp = {} }
        return read_subsystem(scan, i, "stream", doc.stream, doc)
    end,
    backend_group = function(scan, i, doc)
        i, doc.groups = read_objects(scan, i, "backend_group")
        return i
    end,
}

local function read_document(scan)
    local doc = {
        certificates = no_certificates(scan), http = { tcp = {} }, stream = { tcp = {}, udp = {} }, groups = spans.new(scan.content),
        unknown = {},
    }
    local i = scan:skip_space(0)
    if not scan:is_object(i) then
        scan.fail(i, "the policy is not an object")
    end
    i = scan:each_member(i, function(name, at)
        local section = unescape(scan, name, at)
        local read = SECTIONS[section]
        if read then
            return read(scan, at, doc)
        end
        return skip_unknown(scan, at, doc, section)
    end)
    i = scan:skip_space(i)
    if i ~= scan.content.length then
        scan.fail(i, "something follows the policy's end")
    end
    return doc
end


local _M = {}


--- Takes a document apart.
-- @param content of the policy file, as from `gateway.content`; the document lives as long as it does
-- @param pause called about every 256 KiB of it, or nil
-- @return the document; or nil, err: "line 3, column 7: http.tcp.80[3] is not an object" (elements are counted from 0)
function _M.split(content, pause)
    local scan = scanner.new(content, pause)
    local ok, result = pcall(read_document, scan)
    if ok then
        return result
    end
    if type(result) ~= "table" or not result.at then
        error(result, 0)
    end
    local length = content.length
    if result.at >= length then
        return nil, format("%s: the text ends here, but %s", scan:place(length), result.message_at_end or result.message)
    end
    return nil, scan:place(result.at) .. ": " .. result.message
end


return _M
