local cjson = require "cjson"
local expression = require "gateway.expression"
local luaunit = require "luaunit"

local equals = luaunit.assertEquals

local YES = '["EQ","METHOD","GET"]'

-- Each of `cases`, JSON text -> the whole error.
local function check_errors(cases)
    for text, expected in pairs(cases) do
        local found, err = expression.compile(cjson.decode(text))
        equals({ text, found, err }, { text, nil, expected })
    end
end


local TestErrors = {}

function TestErrors.test_what_is_no_expression()
    check_errors({
        ["7"] = "at the top: 7 is no expression",
        ["true"] = "at the top: true is no expression",
        ["null"] = "at the top: null is no expression",
        ['"EQ"'] = "at the top: 'EQ' is no expression",
        ["[]"] = "at the top: an empty list or an object is no expression",
        ['{"EQ":1}'] = "at the top: an empty list or an object is no expression",
        ['["AND",' .. YES .. ',"x"]'] = "at [2]: 'x' is no expression",
        ['["OR",["AND",[]]]'] = "at [1][1]: an empty list or an object is no expression",
        ['["OR",false]'] = "at [1]: false is no expression",
    })
end

function TestErrors.test_unknown_operators()
    check_errors({
        ['["EQUALS","HOST","a"]'] = "at the top: unknown operator 'EQUALS'",
        ['["eq","HOST","a"]'] = "at the top: unknown operator 'eq'",
        ['["AND",' .. YES .. ',["OR",' .. YES .. ',["NOT","a"]]]'] = "at [2][2]: unknown operator 'NOT'",
        ['[1,"HOST","a"]'] = "at the top: unknown operator 1",
        ['[["EQ","HOST","a"]]'] = "at the top: unknown operator a list or object",
        ['[null,"HOST"]'] = "at the top: unknown operator null",
        ['[true,"HOST"]'] = "at the top: unknown operator true",
    })
end

function TestErrors.test_unknown_matchers()
    check_errors({
        ['["EQ","HOTS","a"]'] = "at [1]: unknown matcher 'HOTS'",
        ['["EQ"]'] = "at [1]: unknown matcher nothing",
        ['["EQ",null,"a"]'] = "at [1]: unknown matcher null",
        ['["EQ",["HOST"],"a"]'] = "at [1]: unknown matcher a list or object",
        ['["AND",["EQ","host","a"]]'] = "at [1][1]: unknown matcher 'host'",
    })
end

function TestErrors.test_missing_and_wrong_keys()
    for _, matcher in ipairs({ "HEADER", "PARAM", "COOKIE" }) do
        check_errors({
            ['["EXIST","' .. matcher .. '"]'] = "at [2]: " .. matcher .. " needs a key, not nothing",
            ['["EXIST","' .. matcher .. '",""]'] = "at [2]: " .. matcher .. " needs a key, not ''",
            ['["EQ","' .. matcher .. '",7,"a"]'] = "at [2]: " .. matcher .. " needs a key, not 7",
            ['["EQ","' .. matcher .. '",["k"],"a"]'] = "at [2]: " .. matcher .. " needs a key, not a list or object",
        })
    end
end

function TestErrors.test_wrong_counts_of_arguments()
    for _, operator in ipairs({ "EQ", "STARTS_WITH", "ENDS_WITH", "REGEX" }) do
        check_errors({
            ['["' .. operator .. '","URL"]'] = "at the top: " .. operator .. " on URL takes 1 argument, not 0",
            ['["' .. operator .. '","URL","a","b"]'] = "at the top: " .. operator .. " on URL takes 1 argument, not 2",
            ['["' .. operator .. '","HEADER","k"]'] = "at the top: " .. operator .. " on HEADER takes 1 argument, not 0",
        })
    end
    check_errors({
        ['["IN","HOST"]'] = "at the top: IN on HOST takes at least 1 argument, not 0",
        ['["RANGE","SRC_IP"]'] = "at the top: RANGE on SRC_IP takes 2 arguments, not 0",
        ['["RANGE","SRC_IP","10.0.0.1"]'] = "at the top: RANGE on SRC_IP takes 2 arguments, not 1",
        ['["RANGE","SRC_IP","10.0.0.1","10.0.0.2","10.0.0.3"]'] = "at the top: RANGE on SRC_IP takes 2 arguments, not 3",
        ['["EXIST","HOST","a"]'] = "at the top: EXIST on HOST takes 0 arguments, not 1",
        ['["EXIST","COOKIE","k","a"]'] = "at the top: EXIST on COOKIE takes 0 arguments, not 1",
    })
end

function TestErrors.test_wrong_types_of_arguments()
    check_errors({
        ['["EQ","HOST",true]'] = "at [2]: true is neither text nor number",
        ['["EQ","HOST",null]'] = "at [2]: null is neither text nor number",
        ['["IN","HOST",["a","b"]]'] = "at [2]: a list or object is neither text nor number",
        ['["IN","HEADER","k","a",{"b":1}]'] = "at [4]: a list or object is neither text nor number",
        ['["AND",["IN","URL",false,"/",[]]]'] = "at [1][2]: false is neither text nor number; "
            .. "at [1][4]: a list or object is neither text nor number",
    })
end

function TestErrors.test_regular_expressions_that_do_not_compile()
    for _, pattern in ipairs({ "(", "[a", "*", "a{2,1}", "(?<n>a)(?<n>b)" }) do
        local found, err = expression.compile({ "AND", { "REGEX", "URL", pattern } })
        luaunit.assertNil(found)
        luaunit.assertStrContains(err, "at [1]: '" .. pattern .. "' is no regular expression: ")
    end
end

function TestErrors.test_bounds_that_differ_in_kind()
    check_errors({
        ['["RANGE","SRC_IP","10.0.0.1","::1"]'] =
            "at the top: bounds differ in kind: '10.0.0.1' is an IPv4 address, '::1' is an IPv6 address",
        ['["RANGE","HEADER","k",1,"z"]'] = "at the top: bounds differ in kind: '1' is a number, 'z' is a text",
        ['["RANGE","HEADER","k","a","10.0.0.1"]'] = "at the top: bounds differ in kind: 'a' is a text, '10.0.0.1' is an IPv4 address",
        ['["RANGE","SRC_IP",1,2]'] = "at the top: bounds of SRC_IP must be addresses: '1' is a number",
        ['["RANGE","SRC_IP","a","b"]'] = "at the top: bounds of SRC_IP must be addresses: 'a' is a text",
    })
end

function TestErrors.test_connectives_of_nothing()
    check_errors({
        ['["AND"]'] = "at the top: AND of nothing",
        ['["AND",["OR"]]'] = "at [1]: OR of nothing",
    })
end

function TestErrors.test_all_problems_are_told()
    check_errors({
        ['["AND",["EQ","HOTS","a"],' .. YES .. ',["OR",["EQ","URL"],["X"]]]'] = "at [1][1]: unknown matcher 'HOTS'; "
            .. "at [3][1]: EQ on URL takes 1 argument, not 0; at [3][2]: unknown operator 'X'",
    })
end

function TestErrors.test_places_in_a_list_begin_with_the_expression()
    local found, err = expression.compile_all({ cjson.decode(YES), { "AND", { "X" } }, "y" })
    equals({ found, err }, { nil, "at [1][1]: unknown operator 'X'; at [2]: 'y' is no expression" })
end

function TestErrors.test_an_error_is_one_line_of_bearable_length()
    local _, err = expression.compile({ "EQ\nUALS\0" })
    equals(err, "at the top: unknown operator 'EQ\\x0aUALS\\x00'")
    _, err = expression.compile({ ("x"):rep(100000) })
    equals(err, "at the top: unknown operator '" .. ("x"):rep(200) .. "...'")
end


return { TestErrors = TestErrors }
