-- The index gives the same answer as trying each rule in order: random policies and requests, compared with a plain walk
-- that evaluates the expressions itself, as naively as it can.
--
-- UNIT_SEED repeats a run. A failing case is made as small as possible, then printed.

local cjson = require "cjson"
local index = require "gateway.index"
local luaunit = require "luaunit"
local new_request = require "request"
local rule = require "gateway.rule"
local walk = require "plain_walk"

local random = math.random

local SEED = tonumber(os.getenv("UNIT_SEED")) or os.time()
local POLICIES = 300
local REQUESTS = 80  -- for each policy, and as many for the one that follows it

local HOSTS = { "a.example.com", "b.example.com", "example.com", "x.a.example.com", "a.org", "com", ".example.com", "10.0.0.1" }
local PARENTS = { "example.com", "a.example.com", "com", "org" }
local PATHS = { "/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b", "/a/bc", "/\195\191", "/a//b", "/a/b/c/d/e/f", "" }
local METHODS = { "GET", "POST", "PUT" }
local NAMES = { "one", "two" }
local VALUES = { "1", "2", "10", "blue", "green", "" }
local SOURCES = { "10.0.0.1", "10.0.0.200", "10.0.1.1", "192.168.0.1", "::1", "2001:db8::5", "not an address" }
local REGEXES = { "^/a", "b$", "^/(a|b)/", "c", "^/$" }
local RANGES = { { "10.0.0.0", "10.0.0.255" }, { "::", "::ff" }, { "2001:db8::", "2001:db8::ffff" }, { "::", "ffff::" } }

local function one_of(list)
    return list[random(#list)]
end

local function mixed_case(text)
    return random(4) == 1 and (text:gsub("%a", function(c) return random(2) == 1 and c:upper() or c end)) or text
end

-- Some of list, now and then more than the index would take apart.
local function several_of(list)
    local found = {}
    for i = 1, random(10) == 1 and one_of({ 30, 200 }) or random(3) do
        found[i] = one_of(list)
    end
    return found
end

local function join(first, second, arguments)
    local expr = { first, second }
    for i = 1, #arguments do
        expr[i + 2] = arguments[i]
    end
    return expr
end


-- Generators of expressions: (depth) -> decoded expression.
local function host_test()
    local kind = random(10)
    if kind <= 4 then
        return { "EQ", "HOST", mixed_case(one_of(HOSTS)) }
    elseif kind <= 6 then
        return { "ENDS_WITH", "HOST", mixed_case("*." .. one_of(PARENTS)) }
    elseif kind == 7 then
        local hosts = several_of(HOSTS)
        return join("IN", "HOST", hosts)
    elseif kind == 8 then
        return { "ENDS_WITH", "HOST", mixed_case(one_of(PARENTS)) }
    end
    return kind == 9 and { "STARTS_WITH", "HOST", mixed_case("a.") } or { "REGEX", "HOST", "^[AB]\\." }
end

local function path_test()
    local kind = random(8)
    if kind <= 4 then
        return { "STARTS_WITH", "URL", one_of(PATHS) }
    elseif kind == 5 then
        return { "EQ", "URL", one_of(PATHS) }
    elseif kind == 6 then
        return join("IN", "URL", several_of(PATHS))
    end
    return kind == 7 and { "ENDS_WITH", "URL", one_of({ "b", "/b", "c", "" }) } or { "REGEX", "URL", one_of(REGEXES) }
end

local function keyed_test()
    local matcher, key = one_of({ "HEADER", "PARAM", "COOKIE" }), one_of(NAMES)
    local kind = random(5)
    if kind == 1 then
        return { "EXIST", matcher, key }
    elseif kind == 2 then
        return { "RANGE", matcher, key, 1, random(2) == 1 and "9" or 10 }
    elseif kind == 3 then
        return { "IN", matcher, key, one_of(VALUES), one_of(VALUES) }
    end
    return { kind == 4 and "EQ" or "STARTS_WITH", matcher, key, one_of(VALUES) }
end

local function other_test()
    local kind = random(3)
    if kind == 1 then
        return { "EQ", "METHOD", one_of(METHODS) }
    elseif kind == 2 then
        return { "RANGE", "SRC_IP", unpack(one_of(RANGES)) }
    end
    return keyed_test()
end

local function expression(depth)
    local kind = random(20)
    if depth > 0 and kind <= 10 then
        local expr = { kind <= 7 and "AND" or "OR" }
        for i = 1, kind == 1 and 1 or random(2, 4) do
            expr[i + 1] = expression(depth - 1)
        end
        return expr
    end
    return kind <= 14 and host_test() or kind <= 18 and path_test() or other_test()
end

local MALFORMED = {
    { "EQUALS", "HOST", "a" }, { "EQ", "HOTS", "a" }, { "EQ", "HOST" }, { "EQ", "HOST", true }, { "AND" }, "EQ", {},
    { "REGEX", "URL", "(" }, { "RANGE", "SRC_IP", "10.0.0.1", "::1" }, { "AND", { "EQ", "URL", "/" }, { "OR", "x" } },
}

-- { text = JSON text of a rule, list = its expressions, malformed = whether it must be refused }
local function rule_of(id, list, malformed)
    return { id = id, text = cjson.encode({ rule = id, upstream = "u", internal_dsl = list }), list = list, malformed = malformed }
end

local function new_rule(number)
    local list, malformed = { expression(3) }, random(12) == 1
    for i = 2, random(3) do
        list[i] = expression(1)
    end
    if malformed then
        list[random(#list)] = one_of(MALFORMED)
    end
    return rule_of("rule " .. number, list, malformed)
end

local function random_value(list)
    return random(5) > 1 and one_of(list) or nil
end

local function random_request()
    return {
        host = random(15) > 1 and one_of(HOSTS) or nil,
        path = one_of(PATHS) .. (random(3) == 1 and one_of({ "x", "/", "/b", "c" }) or ""),
        method = one_of(METHODS),
        source = random_value(SOURCES),
        headers = { one = random_value(VALUES), two = random_value(VALUES) },
        params = { one = random_value(VALUES), two = random_value(VALUES) },
        cookies = { one = random_value(VALUES), two = random_value(VALUES) },
    }
end

-- The gateway's index of the rules: those that parse, indexed, with the help of an index made before.
local function build(rules, previous)
    local parsed = {}
    for _, each in ipairs(rules) do
        local found, err = rule.parse(each.text)
        if (found == nil) ~= each.malformed then
            error((err or "malformed, but accepted") .. ": " .. each.text)
        end
        parsed[#parsed + 1] = found
    end
    return index.new(parsed, nil, previous)
end

local function agree(rules, built, request)
    local found, position = built:find(new_request(request))
    local expected = walk(rules, request)
    return (found and found.id) == expected and (found == nil or built.rules[position] == found), position
end

-- Leaves rules out as long as the case still fails.
local function shrink(rules, previous, request)
    local i = 1
    while i <= #rules do
        local fewer = {}
        for k, each in ipairs(rules) do
            if k ~= i then
                fewer[#fewer + 1] = each
            end
        end
        if agree(fewer, build(fewer, previous), request) then
            i = i + 1
        else
            rules = fewer
        end
    end
    return rules
end

local function report(rules, previous, request)
    rules = shrink(rules, previous, request)
    local found, expected = build(rules, previous):find(new_request(request)), walk(rules, request)
    local lines = { "seed " .. SEED .. ": found " .. tostring(found and found.id) .. ", the walk finds " .. tostring(expected) }
    lines[2] = "request: " .. cjson.encode(request)
    for _, each in ipairs(rules) do
        lines[#lines + 1] = each.text
    end
    luaunit.fail(table.concat(lines, "\n"))
end

-- A copy of an expression with another operand in each test of the path.
local function with_other_paths(expr)
    if type(expr) ~= "table" then
        return expr
    end
    local copy = {}
    for i, each in ipairs(expr) do
        copy[i] = expr[2] == "URL" and i > 2 and one_of(PATHS) or with_other_paths(each)
    end
    return copy
end

-- Possible changes to the match of rules from one policy to the next; each changes the list in place.
local CHANGES = {
    function() end,
    function(rules, at) rules[at] = new_rule(at) end,
    function(rules)
        for at, each in ipairs(rules) do
            if not each.malformed and random(2) == 1 then
                rules[at] = rule_of(each.id, with_other_paths(each.list), false)
            end
        end
    end,
    function(rules) rules[#rules] = nil end,
    function(rules) rules[#rules + 1] = new_rule("new") end,
    function(rules, at) rules[at], rules[1] = rules[1], rules[at] end,
}

-- The rules as the next policy may have them: some with another upstream, and perhaps one change of what they match.
local function altered(rules)
    local changed = {}
    for i, each in ipairs(rules) do
        local text = random(10) == 1 and each.text:gsub('"upstream":"u"', '"upstream":"v"') or each.text
        changed[i] = { id = each.id, text = text, list = each.list, malformed = each.malformed }
    end
    one_of(CHANGES)(changed, random(#changed))
    return changed
end

-- Compares for some requests; counts what was found, and what was found far behind, into totals.
local function compare(rules, previous, requests, totals)
    local built = build(rules, previous)
    for _ = 1, requests do
        local request = random_request()
        local same, position = agree(rules, built, request)
        if not same then
            report(rules, previous, request)
        end
        totals.found = totals.found + (position and 1 or 0)
        totals.late = totals.late + (position and position > 10 and 1 or 0)
    end
    return built
end

local function some_rules(count)
    local rules = {}
    for i = 1, count do
        rules[i] = new_rule(i)
    end
    return rules
end


local TestIndexProperty = {}

function TestIndexProperty.test_the_index_finds_what_the_ordered_walk_finds()
    math.randomseed(SEED)
    local totals, shared = { found = 0, late = 0 }, 0
    for _ = 1, POLICIES do
        local rules = some_rules(random(5) == 1 and random(200) or random(30))
        local built = compare(rules, nil, REQUESTS, totals)
        local next_one = compare(altered(rules), built, REQUESTS, totals)
        shared = shared + (next_one.places == built.places and 1 or 0)
    end
    local requests = 2 * POLICIES * REQUESTS
    print(("# seed %d: %d requests, %d matched, %d of them behind the tenth rule"):format(SEED, requests, totals.found, totals.late))
    luaunit.assertTrue(totals.found > requests / 4, "too few requests match for the comparison to mean anything")
    luaunit.assertTrue(totals.found < requests, "no request is left unmatched")
    luaunit.assertTrue(shared > POLICIES / 8 and shared < POLICIES, shared .. " indexes used the previous one again")
end


return { TestIndexProperty = TestIndexProperty }
