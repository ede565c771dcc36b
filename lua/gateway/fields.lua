--- Typed readers of a decoded JSON object, which collect what is wrong instead of stopping at it.
--
-- null and "" mean absent: controllers written in Go write both for a field that is not set. A reader returns nil for what
-- is absent, and for what is wrong, which it then complains about: "config.timeout: a list, not an object".

local decode = require("cjson.safe").decode
local null = require("cjson").null
local printable = require "gateway.printable"

local find = string.find
local format = string.format
local lower = string.lower
local sort = table.sort

-- Bytes that would end or forge a line of a header.
local CONTROL = "[%z\1-\8\10-\31\127]"

local function kind_of(value)
    local kind = type(value)
    if kind == "table" then
        local key = next(value)
        return key == nil and "an empty list or object" or type(key) == "number" and "a list" or "an object"
    end
    return value == null and "null" or kind == "string" and "a text" or "a " .. kind
end

local function is_list(value)
    return type(value) == "table" and (next(value) == nil or value[1] ~= nil)
end

local function is_object(value)
    return type(value) == "table" and type(next(value)) ~= "number"
end


local _M = {}
local mt = { __index = _M }


--- object: a decoded object. problems: the list that complaints are added to. place: what the object is called in them, if it
-- is not the whole.
function _M.new(object, problems, place)
    return setmetatable({ object = object, problems = problems, place = place and place .. "." or "" }, mt)
end


--- The same from JSON text; or nil, err when it is no object.
function _M.decode(text, problems)
    local object, err = decode(text)
    if err then
        return nil, "could not decode: " .. err
    end
    if not is_object(object) then
        return nil, kind_of(object) .. ", not an object"
    end
    return _M.new(object, problems)
end


_M.is_list = is_list
_M.is_object = is_object
_M.kind_of = kind_of


function _M:complain(name, ...)
    self.problems[#self.problems + 1] = self.place .. name .. ": " .. format(...)
end


--- A value of any kind, or nil.
function _M:any(name)
    local value = self.object[name]
    if value == null or value == "" then
        return nil
    end
    return value
end


function _M:typed(name, kind, description)
    local value = self:any(name)
    if value == nil or type(value) == kind then
        return value
    end
    return self:complain(name, "%s, not %s", kind_of(value), description)
end


function _M:text(name)
    return self:typed(name, "string", "a text")
end


--- A text that may stand in a header line.
function _M:line(name)
    local value = self:text(name)
    if value and find(value, CONTROL) then
        return self:complain(name, "a control character in it")
    end
    return value
end


function _M:flag(name)
    return self:typed(name, "boolean", "true or false")
end


--- A text that is one of the names in `choices` (name -> value), in upper or lower case. Returns the value.
function _M:choice(name, choices)
    local text = self:text(name)
    if not text then
        return nil
    end
    local value = choices[lower(text)]
    if value ~= nil then
        return value
    end
    local names = {}
    for each in pairs(choices) do
        names[#names + 1] = each
    end
    sort(names)
    return self:complain(name, "'%s' is not one of %s", printable(text), table.concat(names, ", "))
end


--- A whole number from low to high.
function _M:integer(name, low, high)
    local value = self:typed(name, "number", "a number")
    if value and not (value >= low and value <= high and value % 1 == 0) then
        return self:complain(name, "%.14g is not a whole number from %d to %d", value, low, high)
    end
    return value
end


--- The object there, as fields.
function _M:fields(name)
    local value = self:any(name)
    if value == nil then
        return nil
    end
    if not is_object(value) then
        return self:complain(name, "%s, not an object", kind_of(value))
    end
    return _M.new(value, self.problems, self.place .. name)
end


--- The list there.
function _M:list(name)
    local value = self:any(name)
    if value == nil or is_list(value) then
        return value
    end
    return self:complain(name, "%s, not a list", kind_of(value))
end


return _M
