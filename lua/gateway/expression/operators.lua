--- The tests of an expression: OP on what MATCHER reads.
--
-- An operator is { fewest, most = number of arguments, compile = function(read, arguments, matcher) -> test, keys } or
-- nil, err. read(request) gives the text to test, or nil, which matches nothing. arguments are texts. Keys, where there are
-- any, hold exactly when the test does.

local address = require "gateway.address"
local affix = require "gateway.affix"
local keys = require "gateway.expression.keys"
local printable = require "gateway.printable"

local address_key = address.key
local begins_with = affix.begins_with
local byte = string.byte
local ends_with = affix.ends_with
local find = string.find
local format = string.format
local lower = string.lower
local match = string.match
local re_find = ngx.re.find

local ZERO, NINE, DOT, MINUS = byte("0"), byte("9"), byte("."), byte("-")
local DECIMAL = "^-?%d+%.?%d*$"
local DIFFERENT_BOUNDS = "bounds differ in kind: '%s' is %s, '%s' is %s"

-- Which condition of `keys` an operator on HOST or URL gives.
local EQUAL_CONDITION = { HOST = "host", URL = "path" }

-- Hosts are compared in lower case, which is how the request gives them.
local function operand(text, matcher)
    return matcher == "HOST" and lower(text) or text
end

local function equals(read, text)
    return function(request)
        return read(request) == text
    end
end

local function is_one_of(read, texts)
    local wanted = {}
    for i = 1, #texts do
        wanted[texts[i]] = true
    end
    return function(request)
        local value = read(request)
        return value ~= nil and wanted[value] == true
    end
end

-- An address may be spelled in several ways: an address is compared as one, anything else as text.
local function is_one_of_sources(read, texts)
    local wanted, wanted_keys = {}, {}
    for i = 1, #texts do
        wanted[texts[i]] = true
        local key = address_key(texts[i])
        if key then
            wanted_keys[key] = true
        end
    end
    return function(request)
        local value = read(request)
        if value == nil then
            return false
        end
        if wanted[value] then
            return true
        end
        local key = address_key(value)
        return key ~= nil and wanted_keys[key] == true
    end
end

local function compile_in(read, arguments, matcher)
    if matcher == "SRC_IP" then
        return is_one_of_sources(read, arguments)
    end
    local texts = {}
    for i = 1, #arguments do
        texts[i] = operand(arguments[i], matcher)
    end
    local condition = EQUAL_CONDITION[matcher]
    local test = #texts == 1 and equals(read, texts[1]) or is_one_of(read, texts)
    return test, condition and keys.of(condition, texts)
end

local function exists(read)
    return function(request)
        return read(request) ~= nil
    end
end

local function compile_starts_with(read, arguments, matcher)
    local text = operand(arguments[1], matcher)
    if text == "" then
        return exists(read)
    end
    return function(request)
        local value = read(request)
        return value ~= nil and begins_with(value, text)
    end, matcher == "URL" and keys.of("prefix", { text }) or nil
end

-- parent: "foo.bar" of "*.foo.bar". Exactly one more label, which is not empty.
local function is_child_of(read, parent)
    return function(request)
        local value = read(request)
        if value == nil then
            return false
        end
        local dot = find(value, ".", 1, true)
        return dot ~= nil and dot > 1 and #value - dot == #parent and ends_with(value, parent)
    end
end

local function compile_ends_with(read, arguments, matcher)
    local text = operand(arguments[1], matcher)
    if text == "" then
        return exists(read)
    end
    local parent = matcher == "HOST" and match(text, "^%*%.(.+)$")
    if parent then
        return is_child_of(read, parent), keys.of("wildcard", { parent })
    end
    return function(request)
        local value = read(request)
        return value ~= nil and ends_with(value, text)
    end
end

-- Compiled once per worker by nginx ("o"), with PCRE's compiler to machine code ("j"). Hosts: case does not count.
local function compile_regex(read, arguments, matcher)
    local pattern, options = arguments[1], matcher == "HOST" and "ijo" or "jo"
    local _, _, err = re_find("", pattern, options)
    if err then
        return nil, "'" .. printable(pattern) .. "' is no regular expression: " .. printable(err)
    end
    return function(request)
        local value = read(request)
        return value ~= nil and re_find(value, pattern, options) ~= nil
    end
end

-- The number that a plain decimal text stands for; Lua itself would also read "0x10", "1e3" and "inf".
local function decimal(text)
    for i = 1, #text do
        local c = byte(text, i)
        if (c < ZERO or c > NINE) and c ~= DOT and c ~= MINUS then
            return nil
        end
    end
    return tonumber(text)
end

local function between_addresses(read, low, high, family)
    return function(request)
        local value = read(request)
        if value == nil then
            return false
        end
        local key, its_family = address_key(value)
        return its_family == family and key >= low and key <= high
    end
end

local function between_numbers(read, low, high)
    return function(request)
        local value = read(request)
        local number = value ~= nil and decimal(value)
        return number ~= nil and number ~= false and number >= low and number <= high
    end
end

local function between_texts(read, low, high)
    return function(request)
        local value = read(request)
        return value ~= nil and value >= low and value <= high
    end
end

-- The kind of a bound, and its value as that: "an IPv4 address", "an IPv6 address", "a number" or "a text".
local function bound(text)
    local key, family = address_key(text)
    if key then
        return "an IPv" .. family .. " address", key
    end
    if find(text, DECIMAL) then
        return "a number", tonumber(text)
    end
    return "a text", text
end

local function compile_range(read, arguments, matcher)
    local kind, low = bound(operand(arguments[1], matcher))
    local other, high = bound(operand(arguments[2], matcher))
    if kind ~= other then
        return nil, format(DIFFERENT_BOUNDS, printable(arguments[1]), kind, printable(arguments[2]), other)
    end
    if kind == "an IPv4 address" then
        return between_addresses(read, low, high, 4)
    end
    if kind == "an IPv6 address" then
        return between_addresses(read, low, high, 6)
    end
    if matcher == "SRC_IP" then
        return nil, format("bounds of SRC_IP must be addresses: '%s' is %s", printable(arguments[1]), kind)
    end
    if kind == "a number" then
        return between_numbers(read, low, high)
    end
    return between_texts(read, low, high)
end


return {
    EQ = { fewest = 1, most = 1, compile = compile_in },
    IN = { fewest = 1, most = math.huge, compile = compile_in },
    STARTS_WITH = { fewest = 1, most = 1, compile = compile_starts_with },
    ENDS_WITH = { fewest = 1, most = 1, compile = compile_ends_with },
    REGEX = { fewest = 1, most = 1, compile = compile_regex },
    RANGE = { fewest = 2, most = 2, compile = compile_range },
    EXIST = { fewest = 0, most = 0, compile = exists },
}
