local cjson = require "cjson"
local expression = require "gateway.expression"
local keys = require "gateway.expression.keys"
local luaunit = require "luaunit"
local new_request = require "request"

local equals = luaunit.assertEquals

local YES = '["EQ","METHOD","GET"]'

local function keys_of(text)
    return assert(expression.compile(cjson.decode(text))).keys
end


local TestKeys = {}

function TestKeys.test_of_single_tests()
    for text, expected in pairs({
        ['["EQ","HOST","A.b"]'] = { { host = "a.b" } },
        ['["IN","HOST","A.b","c"]'] = { { host = "a.b" }, { host = "c" } },
        ['["ENDS_WITH","HOST","*.Foo.bar"]'] = { { wildcard = "foo.bar" } },
        ['["EQ","URL","/X"]'] = { { path = "/X" } },
        ['["IN","URL","/x","/y"]'] = { { path = "/x" }, { path = "/y" } },
        ['["STARTS_WITH","URL","/x"]'] = { { prefix = "/x" } },
    }) do
        equals({ text, keys_of(text) }, { text, expected })
    end
end

function TestKeys.test_of_tests_that_say_nothing_about_host_or_path()
    for _, text in ipairs({
        YES, '["STARTS_WITH","HOST","a"]', '["ENDS_WITH","HOST",".foo"]', '["REGEX","HOST","a"]', '["EXIST","HOST"]',
        '["STARTS_WITH","URL",""]', '["ENDS_WITH","URL","*.foo"]', '["REGEX","URL","^/a"]', '["RANGE","HOST","a","b"]',
        '["EQ","HEADER","HOST","a"]', '["IN","SRC_IP","10.0.0.1"]',
    }) do
        equals({ text, keys_of(text) }, { text, nil })
    end
end

function TestKeys.test_and_joins_and_leaves_out_what_excludes_itself()
    for text, expected in pairs({
        ['["AND",["EQ","HOST","a"],["STARTS_WITH","URL","/x"]]'] = { { host = "a", prefix = "/x" } },
        ['["AND",["EQ","HOST","a"],' .. YES .. "]"] = { { host = "a" } },
        ['["AND",["IN","HOST","a","b"],["IN","URL","/x","/y"]]'] = {
            { host = "a", path = "/x" }, { host = "a", path = "/y" }, { host = "b", path = "/x" }, { host = "b", path = "/y" },
        },
        ['["AND",["EQ","HOST","a"],["EQ","HOST","b"]]'] = {},
        ['["AND",["IN","HOST","a","b"],["EQ","HOST","b"]]'] = { { host = "b" } },
        ['["AND",["EQ","HOST","x.foo"],["ENDS_WITH","HOST","*.foo"]]'] = { { host = "x.foo" } },
        ['["AND",["ENDS_WITH","HOST","*.foo"],["EQ","HOST","foo"]]'] = {},
        ['["AND",["ENDS_WITH","HOST","*.foo"],["ENDS_WITH","HOST","*.bar"]]'] = {},
        ['["AND",["ENDS_WITH","HOST","*.foo"],["ENDS_WITH","HOST","*.FOO"]]'] = { { wildcard = "foo" } },
        ['["AND",["STARTS_WITH","URL","/a"],["STARTS_WITH","URL","/a/b"]]'] = { { prefix = "/a/b" } },
        ['["AND",["STARTS_WITH","URL","/a/b"],["STARTS_WITH","URL","/a"]]'] = { { prefix = "/a/b" } },
        ['["AND",["STARTS_WITH","URL","/a"],["STARTS_WITH","URL","/b"]]'] = {},
        ['["AND",["STARTS_WITH","URL","/a"],["EQ","URL","/ab"]]'] = { { path = "/ab" } },
        ['["AND",["STARTS_WITH","URL","/a"],["EQ","URL","/b"]]'] = {},
        ['["AND",["EQ","URL","/a"],["EQ","URL","/b"]]'] = {},
        ['["AND",' .. YES .. "," .. YES .. "]"] = false,
    }) do
        equals({ text, keys_of(text) or false }, { text, expected })
    end
end

function TestKeys.test_or_needs_keys_on_both_sides()
    for text, expected in pairs({
        ['["OR",["EQ","HOST","a"],["STARTS_WITH","URL","/x"]]'] = { { host = "a" }, { prefix = "/x" } },
        ['["OR",["EQ","HOST","a"],' .. YES .. "]"] = false,
        ['["OR",' .. YES .. ',["EQ","HOST","a"]]'] = false,
        ['["AND",["OR",["EQ","HOST","a"],["EQ","HOST","b"]],["EQ","URL","/"]]'] = {
            { host = "a", path = "/" }, { host = "b", path = "/" },
        },
    }) do
        equals({ text, keys_of(text) or false }, { text, expected })
    end
end

local function hosts(count)
    local list = { "IN", "HOST" }
    for i = 1, count do
        list[i + 2] = "h" .. i
    end
    return list
end

local function paths(count)
    local list = { "IN", "URL" }
    for i = 1, count do
        list[i + 2] = "/" .. i
    end
    return list
end

function TestKeys.test_there_are_not_too_many()
    equals(#expression.compile(hosts(128)).keys, 128)
    equals(expression.compile(hosts(129)).keys, nil)
    equals(expression.compile({ "OR", hosts(100), paths(29) }).keys, nil)
    equals(#expression.compile({ "OR", hosts(100), paths(28) }).keys, 128)
    equals(#expression.compile({ "AND", hosts(64), paths(2) }).keys, 128)
    equals(#expression.compile({ "AND", hosts(65), paths(2) }).keys, 2)
    equals(#expression.compile({ "AND", hosts(2), paths(65) }).keys, 2)
    equals(#expression.compile({ "AND", hosts(129), paths(65) }).keys, 65)
end

-- Keys that are said to suffice must agree with this.
local REQUESTS = {}
for _, host in ipairs({ "a.b", "b", "x.a.b", ".b", "c" }) do
    for _, path in ipairs({ "/", "/x", "/xy", "/x/y", "" }) do
        REQUESTS[#REQUESTS + 1] = new_request({ host = host, path = path, method = "GET" })
    end
end
REQUESTS[#REQUESTS + 1] = new_request({ path = "/x", method = "GET" })

function TestKeys.test_keys_that_suffice_hold_exactly_when_the_test_does()
    for _, text in ipairs({
        '["EQ","HOST","a.b"]', '["EQ","URL","/x"]', '["ENDS_WITH","HOST","*.b"]', '["STARTS_WITH","URL","/x"]',
        '["AND",["EQ","HOST","a.b"],["STARTS_WITH","URL","/x"]]', '["AND",["ENDS_WITH","HOST","*.b"],["IN","URL","/x","/"]]',
        '["OR",["EQ","HOST","c"],["STARTS_WITH","URL","/x/"]]', '["AND",["EQ","HOST","a.b"],["EQ","HOST","c"]]',
        '["AND",["OR",["EQ","HOST","a.b"],["EQ","HOST","b"]],["OR",["EQ","URL","/"],["STARTS_WITH","URL","/x"]]]',
        '["AND",["STARTS_WITH","URL","/x"],["STARTS_WITH","URL","/x/"]]', '["AND",["EQ","HOST","a.b"],["ENDS_WITH","HOST","*.b"]]',
    }) do
        local compiled = assert(expression.compile(cjson.decode(text)))
        equals({ text, compiled.keys_suffice }, { text, true })
        local rule = {}
        keys.inscribe(compiled.keys, rule)
        for _, request in ipairs(REQUESTS) do
            local case = text .. " of " .. tostring(request.host) .. " " .. request.path
            equals({ case, keys.hold(rule, request) }, { case, not not compiled.test(request) })
        end
    end
end

function TestKeys.test_keys_do_not_suffice_where_they_leave_something_out()
    for _, text in ipairs({
        YES, '["AND",["EQ","HOST","a"],' .. YES .. "]", '["OR",["EQ","HOST","a"],' .. YES .. "]", '["EXIST","URL"]',
        '["AND",["EQ","HOST","a"],["REGEX","URL","^/x"]]', '["AND",["EQ","HOST","a"],["OR",["EQ","URL","/"],' .. YES .. "]]",
        '["STARTS_WITH","URL",""]', '["ENDS_WITH","HOST","b"]', '["AND",["AND",["EQ","HOST","a"],["EXIST","HOST"]],["EQ","URL","/"]]',
    }) do
        equals({ text, assert(expression.compile(cjson.decode(text))).keys_suffice }, { text, false })
    end
    equals(expression.compile({ "AND", hosts(65), paths(2) }).keys_suffice, false)
    equals(expression.compile(hosts(129)).keys_suffice, false)
    equals(expression.compile({ "AND", hosts(64), paths(2) }).keys_suffice, true)
end

function TestKeys.test_they_are_inscribed_in_a_rule()
    for count, expected in pairs({
        [0] = { never = true }, [1] = { host = "1" }, [2] = { host = "1", other = { host = "2" } },
        [3] = { host = "1", other = { host = "2", other = { host = "3" } } },
    }) do
        local rule, list = {}, {}
        for i = 1, count do
            list[i] = { host = tostring(i) }
        end
        keys.inscribe(list, rule)
        equals(rule, expected)
    end
    local rule = {}
    keys.inscribe({ { wildcard = "a", prefix = "/x" } }, rule)
    equals(rule, { wildcard = "a", prefix = "/x" })
end


return { TestKeys = TestKeys }
