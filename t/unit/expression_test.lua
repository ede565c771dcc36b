local cjson = require "cjson"
local expression = require "gateway.expression"
local luaunit = require "luaunit"
local new_request = require "request"

local equals = luaunit.assertEquals

local REQUEST = {
    host = "shop.example.com",
    path = "/cart/items/7",
    method = "GET",
    source = "10.1.2.3",
    headers = { ["x-env"] = "blue", ["x-level"] = "15", ["x-empty"] = "", ["x-source"] = "2001:db8::7" },
    params = { page = "8080", ratio = "-1.5" },
    cookies = { session = "abc" },
}

local function compiled(text)
    return assert(expression.compile(cjson.decode(text)))
end

-- Each of `cases`, JSON text -> whether it holds for fields.
local function check(fields, cases)
    local request = new_request(fields)
    for text, expected in pairs(cases) do
        equals({ text, compiled(text).test(request) }, { text, expected })
    end
end

-- Each of `cases`, JSON text -> the whole error.
local function check_errors(cases)
    for text, expected in pairs(cases) do
        local found, err = expression.compile(cjson.decode(text))
        equals({ text, found, err }, { text, nil, expected })
    end
end


local TestOperators = {}

function TestOperators.test_eq_compares_the_whole_text()
    check(REQUEST, {
        ['["EQ","HOST","shop.example.com"]'] = true,
        ['["EQ","HOST","SHOP.Example.com"]'] = true,
        ['["EQ","HOST","example.com"]'] = false,
        ['["EQ","URL","/cart/items/7"]'] = true,
        ['["EQ","URL","/CART/items/7"]'] = false,
        ['["EQ","URL","/cart"]'] = false,
        ['["EQ","METHOD","GET"]'] = true,
        ['["EQ","METHOD","POST"]'] = false,
        ['["EQ","SRC_IP","10.1.2.3"]'] = true,
        ['["EQ","SRC_IP","10.1.2.4"]'] = false,
        ['["EQ","HEADER","X-Env","blue"]'] = true,
        ['["EQ","HEADER","x-env","blue"]'] = true,
        ['["EQ","HEADER","X-Env","Blue"]'] = false,
        ['["EQ","HEADER","X-Empty",""]'] = true,
        ['["EQ","PARAM","page","8080"]'] = true,
        ['["EQ","PARAM","Page","8080"]'] = false,
        ['["EQ","COOKIE","session","abc"]'] = true,
        ['["EQ","COOKIE","session","ab"]'] = false,
    })
end

function TestOperators.test_numbers_stand_for_their_text()
    check(REQUEST, {
        ['["EQ","PARAM","page",8080]'] = true,
        ['["EQ","PARAM","page",8080.0]'] = true,
        ['["EQ","PARAM","ratio",-1.5]'] = true,
        ['["IN","PARAM","page",1,8080]'] = true,
        ['["STARTS_WITH","PARAM","page",80]'] = true,
    })
    check({ params = { id = "9007199254740991" } }, { ['["EQ","PARAM","id",9007199254740991]'] = true })
end

function TestOperators.test_in_compares_with_each()
    check(REQUEST, {
        ['["IN","HOST","a","b","Shop.example.com"]'] = true,
        ['["IN","HOST","a"]'] = false,
        ['["IN","URL","/a","/cart/items/7"]'] = true,
        ['["IN","METHOD","POST","GET"]'] = true,
        ['["IN","METHOD","POST","PUT"]'] = false,
        ['["IN","HEADER","X-Env","green","blue"]'] = true,
        ['["IN","COOKIE","session","x","y"]'] = false,
    })
end

function TestOperators.test_one_address_in_several_spellings_is_one_source()
    check({ source = "2001:db8::1" }, {
        ['["EQ","SRC_IP","2001:DB8:0::1"]'] = true,
        ['["IN","SRC_IP","10.0.0.1","2001:0db8::0001"]'] = true,
        ['["IN","SRC_IP","10.0.0.1","2001:db8::2"]'] = false,
    })
    check({ source = "::ffff:10.0.0.1" }, { ['["EQ","SRC_IP","10.0.0.1"]'] = true, ['["EQ","SRC_IP","10.0.0.2"]'] = false })
    check({ source = "unknown" }, { ['["EQ","SRC_IP","unknown"]'] = true, ['["EQ","SRC_IP","10.0.0.1"]'] = false })
end

function TestOperators.test_starts_with_compares_the_beginning()
    check(REQUEST, {
        ['["STARTS_WITH","URL","/cart"]'] = true,
        ['["STARTS_WITH","URL","/cart/items/7"]'] = true,
        ['["STARTS_WITH","URL","/cart/items/77"]'] = false,
        ['["STARTS_WITH","URL","cart"]'] = false,
        ['["STARTS_WITH","URL",""]'] = true,
        ['["STARTS_WITH","HOST","SHOP."]'] = true,
        ['["STARTS_WITH","HEADER","X-Missing",""]'] = false,
    })
end

function TestOperators.test_ends_with_compares_the_end()
    check(REQUEST, {
        ['["ENDS_WITH","URL","/7"]'] = true,
        ['["ENDS_WITH","URL","/cart/items/7"]'] = true,
        ['["ENDS_WITH","URL","x/cart/items/7"]'] = false,
        ['["ENDS_WITH","URL","/8"]'] = false,
        ['["ENDS_WITH","URL",""]'] = true,
        ['["ENDS_WITH","HOST","Example.com"]'] = true,
        ['["ENDS_WITH","HOST","xample.com"]'] = true,
        ['["ENDS_WITH","PARAM","page","80"]'] = true,
        ['["ENDS_WITH","HEADER","X-Missing",""]'] = false,
    })
end

function TestOperators.test_a_wildcard_host_takes_exactly_one_more_label()
    local wildcard = '["ENDS_WITH","HOST","*.Example.com"]'
    for host, expected in pairs({
        ["shop.example.com"] = true,
        ["x.example.com"] = true,
        ["example.com"] = false,
        ["a.b.example.com"] = false,
        [".example.com"] = false,
        ["shopexample.com"] = false,
        ["shop.example.com.org"] = false,
        ["shop.example.co"] = false,
    }) do
        check({ host = host }, { [wildcard] = expected })
    end
    check({}, { [wildcard] = false })
end

function TestOperators.test_a_star_elsewhere_is_a_star()
    check({ path = "/x.foo" }, { ['["ENDS_WITH","URL","*.foo"]'] = false })
    check({ path = "/*.foo" }, { ['["ENDS_WITH","URL","*.foo"]'] = true })
    check({ host = "a*.foo" }, { ['["ENDS_WITH","HOST","*.foo"]'] = true, ['["EQ","HOST","*.foo"]'] = false })
    check({ host = "a*." }, { ['["ENDS_WITH","HOST","*."]'] = true })
end

function TestOperators.test_regex_searches_the_text()
    check(REQUEST, {
        ['["REGEX","URL","^/cart/.*\\\\d$"]'] = true,
        ['["REGEX","URL","items"]'] = true,
        ['["REGEX","URL","^items"]'] = false,
        ['["REGEX","HOST","^SHOP\\\\."]'] = true,
        ['["REGEX","HEADER","X-Env","^(blue|green)$"]'] = true,
        ['["REGEX","HEADER","X-Env","^BLUE"]'] = false,
        ['["REGEX","HEADER","X-Missing",".*"]'] = false,
        ['["REGEX","URL",7]'] = true,
    })
end

function TestOperators.test_range_of_addresses()
    check(REQUEST, {
        ['["RANGE","SRC_IP","10.1.2.3","10.1.2.3"]'] = true,
        ['["RANGE","SRC_IP","9.255.255.255","10.1.2.10"]'] = true,
        ['["RANGE","SRC_IP","10.1.2.4","10.1.2.10"]'] = false,
        ['["RANGE","SRC_IP","10.1.2.10","10.1.2.1"]'] = false,
        ['["RANGE","SRC_IP","::","ffff::"]'] = false,
        ['["RANGE","SRC_IP","::ffff:10.0.0.0","10.2.0.0"]'] = true,
        ['["RANGE","HEADER","X-Source","2001:db8::","2001:db8::ff"]'] = true,
        ['["RANGE","HEADER","X-Source","2001:db8::8","2001:db8::ff"]'] = false,
        ['["RANGE","HEADER","X-Source","0.0.0.0","255.255.255.255"]'] = false,
        ['["RANGE","HEADER","X-Env","0.0.0.0","255.255.255.255"]'] = false,
        ['["RANGE","HEADER","X-Missing","0.0.0.0","255.255.255.255"]'] = false,
    })
end

function TestOperators.test_range_of_numbers()
    check(REQUEST, {
        ['["RANGE","HEADER","X-Level",15,15]'] = true,
        ['["RANGE","HEADER","X-Level","9","100"]'] = true,
        ['["RANGE","HEADER","X-Level",9,14.9]'] = false,
        ['["RANGE","HEADER","X-Level",-3,"100"]'] = true,
        ['["RANGE","PARAM","ratio",-2,-1]'] = true,
        ['["RANGE","HEADER","X-Env",0,9]'] = false,
        ['["RANGE","HEADER","X-Empty",0,9]'] = false,
        ['["RANGE","HEADER","X-Missing",0,9]'] = false,
    })
    for _, value in ipairs({ "0x10", "1e1", "inf", "nan", "1 ", " 1", "1-1", "-", "." }) do
        check({ params = { n = value } }, { ['["RANGE","PARAM","n",-1000000,1000000]'] = false })
    end
end

function TestOperators.test_range_of_texts()
    check(REQUEST, {
        ['["RANGE","HEADER","X-Env","blua","bluz"]'] = true,
        ['["RANGE","HEADER","X-Env","blue","blue"]'] = true,
        ['["RANGE","HEADER","X-Env","c","d"]'] = false,
        ['["RANGE","HEADER","X-Missing","a","z"]'] = false,
        ['["RANGE","HOST","S","T"]'] = true,
    })
end

function TestOperators.test_exist_asks_for_any_value()
    check(REQUEST, {
        ['["EXIST","HEADER","X-Env"]'] = true,
        ['["EXIST","HEADER","X-Empty"]'] = true,
        ['["EXIST","HEADER","X-Missing"]'] = false,
        ['["EXIST","PARAM","page"]'] = true,
        ['["EXIST","PARAM","missing"]'] = false,
        ['["EXIST","COOKIE","session"]'] = true,
        ['["EXIST","HOST"]'] = true,
        ['["EXIST","URL"]'] = true,
        ['["EXIST","METHOD"]'] = true,
        ['["EXIST","SRC_IP"]'] = true,
    })
end

function TestOperators.test_what_is_missing_matches_nothing_and_is_no_error()
    local arguments = { EQ = ',"a"', IN = ',"a","b"', STARTS_WITH = ',"a"', ENDS_WITH = ',"a"', REGEX = ',"a*"', EXIST = "" }
    arguments.RANGE = ',"10.0.0.1","10.0.0.9"'
    local matchers = { '"HOST"', '"URL"', '"METHOD"', '"SRC_IP"', '"HEADER","k"', '"PARAM","k"', '"COOKIE","k"' }
    for operator, rest in pairs(arguments) do
        for _, matcher in ipairs(matchers) do
            check({}, { ['["' .. operator .. '",' .. matcher .. rest .. "]"] = false })
        end
    end
end


local TestConnectives = {}

local YES, NO = '["EQ","METHOD","GET"]', '["EQ","METHOD","POST"]'

function TestConnectives.test_and_needs_all()
    check(REQUEST, {
        ['["AND",' .. YES .. "]"] = true,
        ['["AND",' .. NO .. "]"] = false,
        ['["AND",' .. YES .. "," .. YES .. "]"] = true,
        ['["AND",' .. YES .. "," .. NO .. "]"] = false,
        ['["AND",' .. YES .. "," .. YES .. "," .. YES .. "]"] = true,
        ['["AND",' .. YES .. "," .. YES .. "," .. NO .. "]"] = false,
    })
end

function TestConnectives.test_or_needs_one()
    check(REQUEST, {
        ['["OR",' .. YES .. "]"] = true,
        ['["OR",' .. NO .. "]"] = false,
        ['["OR",' .. NO .. "," .. YES .. "]"] = true,
        ['["OR",' .. NO .. "," .. NO .. "," .. NO .. "]"] = false,
    })
end

function TestConnectives.test_they_nest()
    check(REQUEST, {
        ['["OR",["AND",' .. YES .. "," .. NO .. '],["AND",["OR",' .. NO .. "," .. YES .. "]," .. YES .. "]]"] = true,
        ['["AND",["OR",' .. NO .. "," .. NO .. "]," .. YES .. "]"] = false,
    })
end

function TestConnectives.test_they_nest_up_to_a_limit()
    local function nested(depth)
        return ('["AND",'):rep(depth - 1) .. YES .. ("]"):rep(depth - 1)
    end
    check(REQUEST, { [nested(32)] = true })
    check_errors({ [nested(33)] = "at " .. ("[1]"):rep(32) .. ": nested deeper than 32" })
    check_errors({ [nested(500)] = "at " .. ("[1]"):rep(32) .. ": nested deeper than 32" })
end

function TestConnectives.test_a_list_of_expressions_must_hold_as_a_whole()
    local request = new_request(REQUEST)
    local all = assert(expression.compile_all(cjson.decode("[" .. YES .. ',["STARTS_WITH","URL","/cart"]]')))
    equals({ all.test(request), all.keys }, { true, { { prefix = "/cart" } } })
    equals(assert(expression.compile_all(cjson.decode("[" .. YES .. "," .. NO .. "]"))).test(request), false)
end

function TestConnectives.test_no_list_is_the_callers_mistake()
    luaunit.assertErrorMsgContains("not a list of expressions", expression.compile_all, {})
end


return { TestOperators = TestOperators, TestConnectives = TestConnectives }
