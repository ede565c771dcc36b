-- The answer that the index must give: each rule in order, its expressions evaluated as naively as can be, without any code
-- of the gateway. Malformed rules never match.

local COLLECTIONS = { HEADER = "headers", PARAM = "params", COOKIE = "cookies" }
local FIELDS = { HOST = "host", URL = "path", METHOD = "method", SRC_IP = "source" }

-- Address as a list of numbers, and its family; knows no spellings but those of index_property_test.
local function octets(text)
    local found = {}
    if text:find("^%d+%.%d+%.%d+%.%d+$") then
        for number in text:gmatch("%d+") do
            found[#found + 1] = tonumber(number)
        end
        return found, 4
    end
    local left, right = text:match("^([%x:]-)::([%x:]*)$")
    if not left then
        return nil
    end
    local groups = {}
    for group in left:gmatch("%x+") do groups[#groups + 1] = tonumber(group, 16) end
    local tail = {}
    for group in right:gmatch("%x+") do tail[#tail + 1] = tonumber(group, 16) end
    for _ = 1, 8 - #groups - #tail do groups[#groups + 1] = 0 end
    for _, group in ipairs(tail) do groups[#groups + 1] = group end
    return groups, 6
end

local function not_above(a, b)
    for i = 1, #a do
        if a[i] ~= b[i] then
            return a[i] < b[i]
        end
    end
    return true
end

local function naive_range(value, low, high)
    local lowest, family = octets(low)
    if lowest then
        local found, its_family = octets(value)
        return its_family == family and not_above(lowest, found) and not_above(found, (octets(high)))
    end
    local number = value:find("^%d+$") and tonumber(value)
    return number and number >= tonumber(low) and number <= tonumber(high) or false
end

local function split_host(value, text)
    local label, parent = value:match("^([^.]*)%.(.*)$")
    return label ~= nil and label ~= "" and "*." .. parent == text
end

local NAIVE = {
    EXIST = function() return true end,
    STARTS_WITH = function(value, text) return value:find(text, 1, true) == 1 end,
    RANGE = function(value, low, high) return naive_range(value, tostring(low), tostring(high)) end,
    REGEX = function(value, pattern) return ngx.re.find(value, pattern:lower()) ~= nil end,
    EQ = function(value, text) return value == text end,
    IN = function(value, ...)
        for i = 1, select("#", ...) do
            if value == (select(i, ...)) then
                return true
            end
        end
        return false
    end,
    ENDS_WITH = function(value, text) return #value >= #text and value:sub(#value - #text + 1) == text end,
}

local function naive_test(expr, request)
    local operator, matcher, first = expr[1], expr[2], 3
    local value = request[FIELDS[matcher]]
    if COLLECTIONS[matcher] then
        value, first = request[COLLECTIONS[matcher]][expr[3]], 4
    end
    if value == nil then
        return false
    end
    local arguments = {}
    for i = first, #expr do
        arguments[#arguments + 1] = matcher == "HOST" and expr[i]:lower() or expr[i]
    end
    if operator == "ENDS_WITH" and matcher == "HOST" and arguments[1]:sub(1, 2) == "*." then
        return split_host(value, arguments[1])
    end
    return NAIVE[operator](value, unpack(arguments))
end

local function holds(expr, request)
    local operator = expr[1]
    if operator ~= "AND" and operator ~= "OR" then
        return naive_test(expr, request)
    end
    for i = 2, #expr do
        if holds(expr[i], request) == (operator == "OR") then
            return operator == "OR"
        end
    end
    return operator == "AND"
end

local function holds_all(list, request)
    for i = 1, #list do
        if not holds(list[i], request) then
            return false
        end
    end
    return true
end

-- rules: list of { id, list = decoded expressions that must all hold, malformed }. request: table of fields. Returns the id of
-- the first rule that matches.
return function(rules, request)
    for i = 1, #rules do
        if not rules[i].malformed and holds_all(rules[i].list, request) then
            return rules[i].id
        end
    end
    return nil
end
