--- Changes to headers: an object with `headers` (name -> value, to set), `headers_add` (name -> value or list of values) and
-- `headers_remove` (list of names) -> { set = { { name, value }, ... }, add = the same, remove = { name, ... } }, each sorted
-- by name and empty when there is nothing to do.
--
-- Headers that say where a message ends are not a rule's to change: when the two sides see different ends, one of them takes
-- the rest of a message for the next one, which may be another client's.

local fields = require "gateway.fields"
local null = require("cjson").null
local printable = require "gateway.printable"

local find = string.find
local lower = string.lower
local sort = table.sort

local TOKEN = "^[%w!#$%%&'*+.^_`|~-]+$"
local LINE_END = "[%z\r\n]"
local FRAMING = { ["content-length"] = true, ["transfer-encoding"] = true }

local function sorted_names(object)
    local names = {}
    for name in pairs(object) do
        names[#names + 1] = name
    end
    sort(names)
    return names
end

local function check_name(changes, place, name)
    if type(name) ~= "string" then
        changes:complain(place, "%s is not the name of a header", fields.kind_of(name))
        return false
    end
    if not find(name, TOKEN) then
        changes:complain(place, "'%s' is not the name of a header", printable(name))
        return false
    end
    if FRAMING[lower(name)] then
        changes:complain(place, "'%s' says where a message ends, which no rule can change", name)
        return false
    end
    return true
end

-- Appends { name, value } when value may stand in a header; numbers may, null is absent.
local function append(pairs_of, changes, place, name, value)
    if type(value) == "number" then
        value = tostring(value)
    end
    if value == null then
        return
    end
    if type(value) ~= "string" then
        changes:complain(place, "the value of '%s' is %s, not a text", name, fields.kind_of(value))
    elseif find(value, LINE_END) then
        changes:complain(place, "the value of '%s' has a line end or NUL in it", name)
    else
        pairs_of[#pairs_of + 1] = { name, value }
    end
end

local function read_set(changes)
    local found = {}
    local wanted = changes:fields("headers")
    local object = wanted and wanted.object or {}
    for _, name in ipairs(sorted_names(object)) do
        if check_name(changes, "headers", name) then
            append(found, changes, "headers", name, object[name])
        end
    end
    return found
end

local function read_add(changes)
    local found = {}
    local wanted = changes:fields("headers_add")
    local object = wanted and wanted.object or {}
    for _, name in ipairs(sorted_names(object)) do
        local values = object[name]
        if check_name(changes, "headers_add", name) then
            for _, value in ipairs(fields.is_list(values) and values or { values }) do
                append(found, changes, "headers_add", name, value)
            end
        end
    end
    return found
end

local function read_remove(changes)
    local found = {}
    for _, name in ipairs(changes:list("headers_remove") or {}) do
        if check_name(changes, "headers_remove", name) then
            found[#found + 1] = name
        end
    end
    sort(found)
    return found
end


local _M = {}


--- config: fields. Returns the changes that the object under `name` asks for, nil for none.
function _M.read(config, name)
    local changes = config:fields(name)
    if not changes then
        return nil
    end
    local set, add, remove = read_set(changes), read_add(changes), read_remove(changes)
    if #set + #add + #remove == 0 then
        return nil
    end
    return { set = set, add = add, remove = remove }
end


return _M
