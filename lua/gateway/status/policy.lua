--- The policy in force as text, from the shelf, member by member.

local cjson = require "cjson.safe"

local encode = cjson.encode
local ipairs = ipairs
local pairs = pairs
local sort = table.sort

local LIST_KEY = "^(%l+)_(%l+)_(%d+)$"
local GROUPS = "backend_group"


-- Calls visit(value) for each, separator texts in between.
local function each_between(values, write, visit)
    for i, value in ipairs(values) do
        if i > 1 then
            write(",\n")
        end
        visit(value)
    end
end


-- The members of a list; one that has gone since the list was read is left out.
local function write_members(shelf, kind, key, write, pause)
    local list = shelf:list(key)
    local is_first = true
    for _, digest in ipairs(list and list.members or {}) do
        local text = shelf:body(kind, digest)
        if text then
            write((is_first and "" or ",\n") .. text)
            is_first = false
        end
        pause()
    end
end


-- Ports with rules: subsystem -> protocol -> sorted list of { port, key }.
local function ports_by_protocol(keys)
    local by_subsystem = {}
    for _, key in ipairs(keys) do
        local subsystem, protocol, port = key:match(LIST_KEY)
        local by_protocol = by_subsystem[subsystem] or {}
        local ports = by_protocol[protocol] or {}
        ports[#ports + 1] = { tonumber(port), key }
        by_protocol[protocol] = ports
        by_subsystem[subsystem] = by_protocol
    end
    return by_subsystem
end


local function write_protocol(shelf, protocol, ports, write, pause)
    sort(ports, function(a, b)
        return a[1] < b[1]
    end)
    write('"' .. protocol .. '":{')
    each_between(ports, write, function(port)
        write('"' .. port[1] .. '":[')
        write_members(shelf, "rule", port[2], write, pause)
        write("]")
    end)
    write("}")
end


local function sorted_keys(object)
    local keys = {}
    for key in pairs(object) do
        keys[#keys + 1] = key
    end
    sort(keys)
    return keys
end


local function write_rules(shelf, write, pause)
    local by_subsystem = ports_by_protocol(shelf:ports())
    for _, subsystem in ipairs(sorted_keys(by_subsystem)) do
        local by_protocol = by_subsystem[subsystem]
        write(',\n"' .. subsystem .. '":{')
        each_between(sorted_keys(by_protocol), write, function(protocol)
            write_protocol(shelf, protocol, by_protocol[protocol], write, pause)
        end)
        write("}")
    end
end


-- The status port may be open to people who must not have the keys.
local function without_key(text)
    local certificate = cjson.decode(text or "")
    return encode({ cert = certificate and certificate.cert or cjson.null })
end


local function write_certificates(shelf, write, pause)
    each_between(shelf:certificate_names(), write, function(name)
        write(encode(name) .. ":" .. without_key(shelf:text(name)))
        pause()
    end)
end


local _M = {}


--- @param shelf where the policy lies
-- @param write function(text)
-- @param pause called for each member; may wait
function _M.write(shelf, write, pause)
    write('{"generation":' .. (shelf:generation() or "null"))
    write_rules(shelf, write, pause)
    write(',\n"backend_group":[')
    write_members(shelf, "group", GROUPS, write, pause)
    write('],\n"certificate_map":{')
    write_certificates(shelf, write, pause)
    write("}}\n")
end


return _M
