local expression = require "gateway.expression"
local index = require "gateway.index"
local keys = require "gateway.expression.keys"
local luaunit = require "luaunit"
local new_request = require "request"

local equals = luaunit.assertEquals

-- A rule of an expression in Lua tables, with a test where it needs one.
local function new_rule(id, expr)
    local rule, compiled = { id = id }, assert(expression.compile(expr))
    if compiled.keys then
        keys.inscribe(compiled.keys, rule)
    end
    rule.test = not compiled.keys_suffice and compiled.test or nil
    return rule
end

-- The same with a test in any case; `tested` counts how often it was asked.
local function new_counting_rule(id, expr)
    local rule, compiled = new_rule(id, expr), assert(expression.compile(expr))
    rule.tested = 0
    function rule.test(request)
        rule.tested = rule.tested + 1
        return compiled.test(request)
    end
    return rule
end

local function host(name)
    return { "EQ", "HOST", name }
end

local function prefix(text)
    return { "STARTS_WITH", "URL", text }
end

local function found_id(built, fields)
    local rule = built:find(new_request(fields))
    return rule and rule.id
end

local function tests_of(rules)
    local count = 0
    for _, rule in ipairs(rules) do
        count, rule.tested = count + rule.tested, 0
    end
    return count
end


local TestFind = {}

function TestFind.test_nothing_is_found_among_no_rules()
    equals({ index.new({}):find(new_request({ host = "a", path = "/" })) }, {})
end

function TestFind.test_the_rule_and_its_position_are_found()
    local rules = { new_rule("a", host("a")), new_rule("b", host("b")) }
    local rule, position = index.new(rules):find(new_request({ host = "b", path = "/" }))
    equals({ rule == rules[2], position }, { true, 2 })
    equals(index.new(rules):find(new_request({ host = "c", path = "/" })), nil)
end

function TestFind.test_the_first_wins_wherever_it_lies()
    local exact, wildcard, any = host("x.foo"), { "ENDS_WITH", "HOST", "*.foo" }, { "EXIST", "URL" }
    local by_id = { exact = exact, wildcard = wildcard, any = any, path = prefix("/") }
    for _, order in ipairs({
        { "exact", "wildcard", "any", "path" }, { "wildcard", "any", "path", "exact" }, { "any", "path", "exact", "wildcard" },
        { "path", "exact", "wildcard", "any" },
    }) do
        local rules = {}
        for i, id in ipairs(order) do
            rules[i] = new_rule(id, by_id[id])
        end
        equals(found_id(index.new(rules), { host = "x.foo", path = "/" }), order[1])
    end
end

function TestFind.test_a_request_without_a_host_finds_rules_without_one()
    local rules = { new_rule("host", host("a")), new_rule("wildcard", { "ENDS_WITH", "HOST", "*.a" }), new_rule("path", prefix("/")) }
    equals(found_id(index.new(rules), { path = "/x" }), "path")
end

function TestFind.test_a_rule_that_excludes_itself_is_never_asked()
    local rules = { new_counting_rule("never", { "AND", host("a"), host("b") }), new_rule("a", host("a")) }
    equals(found_id(index.new(rules), { host = "a", path = "/" }), "a")
    equals(rules[1].tested, 0)
end

function TestFind.test_a_host_with_an_empty_first_label_is_nobodys_child()
    local rules = { new_rule("child", { "ENDS_WITH", "HOST", "*.foo" }) }
    equals(found_id(index.new(rules), { host = ".foo", path = "/" }), nil)
    equals(found_id(index.new(rules), { host = "a.b.foo", path = "/" }), nil)
    equals(found_id(index.new(rules), { host = "a.foo", path = "/" }), "child")
end

function TestFind.test_each_way_a_rule_of_several_hosts_and_paths_can_match()
    local rules = { new_rule("both", { "AND", { "IN", "HOST", "a", "b" }, { "OR", prefix("/x"), { "EQ", "URL", "/y" } } }) }
    equals(rules[1].test, nil)
    local built = index.new(rules)
    for text, expected in pairs({
        ["a /x"] = "both", ["b /xx"] = "both", ["a /y"] = "both", ["b /yy"] = false, ["c /x"] = false, ["b /"] = false,
    }) do
        local name, path = text:match("(%S+) (%S+)")
        equals({ text, found_id(built, { host = name, path = path }) or false }, { text, expected })
    end
end

function TestFind.test_overlapping_prefixes_of_many_rules()
    local texts = { "/a/b/c", "/a/b", "/a/bc", "/a", "/b", "/a/b/", "/", "/ab", "/a/b/c/d", "/aa", "/a/c", "/zz" }
    local rules = {}
    for i, text in ipairs(texts) do
        rules[i] = new_rule(text, { "AND", host("h"), prefix(text) })
    end
    local built = index.new(rules)
    luaunit.assertNotNil(built.places.hosts.h.always, "so many rules are expected to lie on a shelf")
    for path, expected in pairs({
        ["/a/b/c/d/e"] = "/a/b/c", ["/a/b"] = "/a/b", ["/a/bcd"] = "/a/b", ["/a/x"] = "/a", ["/b"] = "/b", ["/c"] = "/", [""] = false,
        ["/zzz"] = "/", ["/ab"] = "/a", ["0"] = false, ["/\255"] = "/",
    }) do
        equals({ path, found_id(built, { host = "h", path = path }) or false }, { path, expected })
    end
end

function TestFind.test_exact_paths_prefixes_and_neither_keep_their_order_on_a_shelf()
    local rules = { new_rule("method", { "AND", host("h"), { "EQ", "METHOD", "PUT" } }) }
    for i = 2, 10 do
        rules[i] = new_rule("filler " .. i, { "AND", host("h"), prefix("/filler/" .. i) })
    end
    rules[11] = new_rule("exact", { "AND", host("h"), { "EQ", "URL", "/x" } })
    rules[12] = new_rule("prefix", { "AND", host("h"), prefix("/") })
    rules[13] = new_rule("late", host("h"))
    local built = index.new(rules)
    equals(found_id(built, { host = "h", path = "/x", method = "PUT" }), "method")
    equals(found_id(built, { host = "h", path = "/x", method = "GET" }), "exact")
    equals(found_id(built, { host = "h", path = "/y", method = "GET" }), "prefix")
    equals(found_id(built, { host = "h", path = "y", method = "GET" }), "late")
    equals(found_id(built, { host = "h", method = "GET" }), "late")
end


local TestWork = {}

function TestWork.test_few_of_many_rules_are_tried()
    local rules = {}
    for i = 1, 3000 do
        local at = prefix(("/%04d/"):format(i))
        local where = i % 3 == 1 and host("h" .. i) or { "ENDS_WITH", "HOST", "*.foo" }
        rules[i] = new_counting_rule(i, i % 3 == 0 and at or { "AND", where, at })
    end
    local built = index.new(rules)
    for _, i in ipairs({ 1, 2, 3, 1500, 1501, 1502, 2998, 2999, 3000 }) do
        tests_of(rules)
        equals(found_id(built, { host = i % 3 == 1 and "h" .. i or "x.foo", path = ("/%04d/x"):format(i) }), i)
        equals(tests_of(rules), 1)
    end
    equals(found_id(built, { host = "x.foo", path = "/none" }), nil)
    equals(tests_of(rules), 0)
end

function TestWork.test_a_rule_behind_the_one_found_is_not_tried()
    local rules = {}
    for i = 1, 20 do
        rules[i] = new_counting_rule(i, { "AND", host("h"), prefix("/") })
    end
    equals(found_id(index.new(rules), { host = "h", path = "/" }), 1)
    equals(tests_of(rules), 1)
end

function TestWork.test_it_pauses_while_it_is_made()
    local rules, pauses = {}, 0
    for i = 1, 1280 do
        rules[i] = new_counting_rule(i, prefix("/" .. i))
    end
    local built = index.new(rules, function()
        pauses = pauses + 1
        ngx.sleep(0.001)
    end)
    equals(pauses, 3 * 1280 / 64)
    equals(found_id(built, { path = "/1000" }), 1)
end


local TestPrevious = {}

local function numbered(count, expr)
    local rules = {}
    for i = 1, count do
        rules[i] = new_counting_rule(i, expr(i))
    end
    return rules
end

local function own_host(i)
    return { "AND", host("h" .. i), prefix("/") }
end

function TestPrevious.test_what_it_knows_is_used_again_when_the_keys_are_the_same()
    local before = index.new(numbered(20, own_host))
    local rules = numbered(20, own_host)
    local after = index.new(rules, nil, before)
    luaunit.assertIs(after.places, before.places)
    local rule, position = after:find(new_request({ host = "h7", path = "/" }))
    equals({ rule == rules[7], position }, { true, 7 })
end

function TestPrevious.test_other_keys_make_another_index()
    local rules = numbered(20, own_host)
    local before = index.new(rules)
    for _, expr in ipairs({
        host("new"), prefix("/h7"), { "EXIST", "METHOD" }, { "IN", "HOST", "h7", "new" }, { "AND", host("new"), prefix("/") },
    }) do
        local others = { unpack(rules) }
        others[7] = new_counting_rule("new", expr)
        local after = index.new(others, nil, before)
        luaunit.assertNotIs(after.places, before.places)
        equals(found_id(after, { host = "new", path = "/h7", method = "GET" }), "new")
    end
end

function TestPrevious.test_more_or_fewer_rules_make_another_index()
    local rules = numbered(20, own_host)
    local before = index.new(rules)
    local fewer, more = { unpack(rules, 2) }, { unpack(rules) }
    more[21] = new_counting_rule(21, own_host(21))
    equals(found_id(index.new(fewer, nil, before), { host = "h1", path = "/" }), nil)
    equals(found_id(index.new(fewer, nil, before), { host = "h20", path = "/" }), 20)
    equals(found_id(index.new(more, nil, before), { host = "h21", path = "/" }), 21)
end


return { TestFind = TestFind, TestWork = TestWork, TestPrevious = TestPrevious }
