--- Matching expressions: JSON arrays, operator first, compiled once into a function.
--
--   ["AND", e, ...]  ["OR", e, ...]  [OP, MATCHER, (key,) argument...]
--
-- Operators are in `expression.operators`, matchers in `expression.matchers`. A request is a table with `host` (lower case,
-- no port), `path`, and the methods method(), source(), header(name in lower case), param(name), cookie(name), each of which
-- gives a text or nil. A missing value matches nothing.
--
-- Errors name every malformed part by its place, counted from 0 as in JSON tools: "at [2][1]: unknown operator 'EQUALS'".

local keys = require "gateway.expression.keys"
local matchers = require "gateway.expression.matchers"
local operators = require "gateway.expression.operators"
local printable = require "gateway.printable"

local concat = table.concat
local format = string.format

local DEEPEST = 32

local function complain(problems, place, ...)
    problems[#problems + 1] = "at " .. (place == "" and "the top" or place) .. ": " .. format(...)
end

local function describe(value)
    local kind = type(value)
    if kind == "string" then
        return "'" .. printable(value) .. "'"
    end
    if kind == "number" or kind == "boolean" then
        return tostring(value)
    end
    return kind == "table" and "a list or object" or kind == "nil" and "nothing" or "null"
end

-- The text that a number of the document stands for where text is compared: 8080 is "8080".
local function number_text(number)
    return number % 1 == 0 and math.abs(number) < 2 ^ 53 and format("%d", number) or format("%.14g", number)
end

local function and_test(tests)
    local first, second = tests[1], tests[2]
    if #tests == 1 then
        return first
    end
    if #tests == 2 then
        return function(request)
            return first(request) and second(request)
        end
    end
    return function(request)
        for i = 1, #tests do
            if not tests[i](request) then
                return false
            end
        end
        return true
    end
end

local function or_test(tests)
    if #tests == 1 then
        return tests[1]
    end
    return function(request)
        for i = 1, #tests do
            if tests[i](request) then
                return true
            end
        end
        return false
    end
end

local CONNECTIVES = {
    AND = { join = and_test, keys = keys.both },
    OR = { join = or_test, keys = keys.either },
}

local compile_node  -- (expr, place, depth, problems) -> test, keys, whether keys suffice; nil when it complained

-- Compiles expr[first..] and joins them.
local function compile_several(connective, expr, first, place, depth, problems)
    local tests, joint, suffice = {}, nil, true
    for i = first, #expr do
        local test, its_keys, they_suffice = compile_node(expr[i], place .. "[" .. i - 1 .. "]", depth + 1, problems)
        tests[#tests + 1] = test
        local all_said = true
        if i == first then
            joint = its_keys
        else
            joint, all_said = connective.keys(joint, its_keys)
        end
        suffice = suffice and they_suffice and all_said
    end
    if #tests == 0 then
        return nil
    end
    return connective.join(tests), joint, suffice
end

-- The texts expr[first..], or nil when one of them is neither text nor number.
local function read_arguments(expr, first, place, problems)
    local arguments, complete = {}, true
    for i = first, #expr do
        local value = expr[i]
        if type(value) == "number" then
            value = number_text(value)
        elseif type(value) ~= "string" then
            complain(problems, place .. "[" .. i - 1 .. "]", "%s is neither text nor number", describe(value))
            complete = false
        end
        arguments[#arguments + 1] = value
    end
    return complete and arguments or nil
end

local function count_fits(operator, name, matcher_name, count, place, problems)
    if count >= operator.fewest and count <= operator.most then
        return true
    end
    local wanted = operator.most == math.huge and "at least " .. operator.fewest or tostring(operator.most)
    local plural = operator.fewest == 1 and "" or "s"
    complain(problems, place, "%s on %s takes %s argument%s, not %d", name, matcher_name, wanted, plural, count)
    return false
end

-- The function that reads what a test is about, and the place of its first argument.
local function compile_matcher(expr, place, problems)
    local name = expr[2]
    local matcher = type(name) == "string" and matchers[name]
    if not matcher then
        complain(problems, place .. "[1]", "unknown matcher %s", describe(name))
        return nil
    end
    if not matcher.keyed then
        return matcher.reader(), 3
    end
    local key = expr[3]
    if type(key) ~= "string" or key == "" then
        complain(problems, place .. "[2]", "%s needs a key, not %s", name, describe(key))
        return nil
    end
    return matcher.reader(key), 4
end

local function compile_test(operator, expr, place, problems)
    local read, first = compile_matcher(expr, place, problems)
    if not read then
        return nil
    end
    local name, matcher_name = expr[1], expr[2]
    local arguments = read_arguments(expr, first, place, problems)
    if not (arguments and count_fits(operator, name, matcher_name, #arguments, place, problems)) then
        return nil
    end
    local test, its_keys = operator.compile(read, arguments, matcher_name)
    if not test then
        complain(problems, place, "%s", its_keys)
        return nil
    end
    return test, its_keys, its_keys ~= nil
end

function compile_node(expr, place, depth, problems)
    if type(expr) ~= "table" or #expr == 0 then
        return complain(problems, place, "%s is no expression", type(expr) == "table" and "an empty list or an object" or describe(expr))
    end
    if depth > DEEPEST then
        return complain(problems, place, "nested deeper than %d", DEEPEST)
    end
    local name = expr[1]
    local connective, operator = CONNECTIVES[name], operators[name]
    if operator then
        return compile_test(operator, expr, place, problems)
    end
    if not connective then
        return complain(problems, place, "unknown operator %s", describe(name))
    end
    if #expr == 1 then
        return complain(problems, place, "%s of nothing", name)
    end
    return compile_several(connective, expr, 2, place, depth, problems)
end

local function finish(problems, test, its_keys, suffice)
    if #problems > 0 then
        return nil, concat(problems, "; ")
    end
    return { test = test, keys = its_keys, keys_suffice = suffice }
end


local _M = {}


--- expr: a decoded expression. Returns { test = function(request) -> boolean, keys = see expression.keys, keys_suffice = whether
-- the keys hold exactly when the test does } or nil, err.
function _M.compile(expr)
    local problems = {}
    return finish(problems, compile_node(expr, "", 1, problems))
end


--- list: decoded expressions that must all hold; places in errors begin with the position in it. Returns as compile does.
function _M.compile_all(list)
    if type(list) ~= "table" or #list == 0 then
        error("not a list of expressions", 2)
    end
    local problems = {}
    return finish(problems, compile_several(CONNECTIVES.AND, list, 1, "", 0, problems))
end


return _M
