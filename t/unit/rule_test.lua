local cjson = require "cjson"
local luaunit = require "luaunit"
local new_request = require "request"
local rule = require "gateway.rule"

local equals = luaunit.assertEquals

local MATCH = { { "EQ", "HOST", "a.b" } }
local NOTHING_MATCHES = "missing, and a rule without it would match everything"

-- JSON text of a usable rule with other fields besides or instead; JSON null: cjson.null.
local function text_of(fields)
    local object = { rule = "r", upstream = "u", internal_dsl = MATCH }
    for name, value in pairs(fields) do
        object[name] = value
    end
    return cjson.encode(object)
end

local function parsed(fields)
    return assert(rule.parse(text_of(fields)))
end

local function check_error(fields, expected)
    local text = text_of(fields)
    equals({ text, rule.parse(text) }, { text, nil, expected, "r" })
end

-- Wrong types for a field, and how complaints call them.
local WRONG = { number = { 7, "a number" }, flag = { true, "a boolean" }, list = { { 1 }, "a list" }, object = { { a = 1 }, "an object" } }

local function check_text_field(field)
    for _, wrong in pairs(WRONG) do
        check_error({ [field] = wrong[1] }, field .. ": " .. wrong[2] .. ", not a text")
    end
end

-- A rule reads the same with null, with "" and without the field.
local function check_absent(field, read)
    local without = read(parsed({}))
    equals({ field, read(parsed({ [field] = cjson.null })) }, { field, without })
    equals({ field, read(parsed({ [field] = "" })) }, { field, without })
end


local TestParse = {}

function TestParse.test_a_plain_rule()
    equals(parsed({}), { id = "r", upstream = "u", host = "a.b" })
end

function TestParse.test_a_rule_has_a_test_where_its_keys_do_not_say_it_all()
    local found = parsed({ internal_dsl = { { "EQ", "HOST", "a.b" }, { "EQ", "METHOD", "GET" } } })
    equals(found.host, "a.b")
    equals(found.test(new_request({ host = "a.b", method = "GET" })), true)
    equals(found.test(new_request({ host = "a.b", method = "PUT" })), false)
end

function TestParse.test_what_is_no_object()
    for text, expected in pairs({
        ["[1]"] = "a list, not an object",
        ["7"] = "a number, not an object",
        ['"x"'] = "a text, not an object",
        ["null"] = "null, not an object",
        ["true"] = "a boolean, not an object",
    }) do
        equals({ text, rule.parse(text) }, { text, nil, expected })
    end
    local found, err = rule.parse('{"rule":')
    luaunit.assertNil(found)
    luaunit.assertStrContains(err, "could not decode: ")
end

function TestParse.test_all_problems_are_told()
    equals({ rule.parse("{}") }, { nil, "rule: missing; internal_dsl: " .. NOTHING_MATCHES .. "; upstream: missing" })
    equals({ rule.parse('{"rule":"r","upstream":1,"internal_dsl":7,"enable_cors":"yes","vhost":[1],"config":{"timeout":3}}') }, {
        nil,
        "upstream: a number, not a text; internal_dsl: a number, not a list; enable_cors: a text, not true or false; "
            .. "vhost: a list, not a text; config.timeout: a number, not an object",
        "r",
    })
end

function TestParse.test_the_id()
    equals({ rule.parse('{"rule":7,"upstream":"u","internal_dsl":["EXIST","URL"]}') }, { nil, "rule: a number, not a text" })
    equals({ rule.parse('{"rule":"","upstream":"u","internal_dsl":["EXIST","URL"]}') }, { nil, "rule: missing" })
    equals({ rule.parse('{"rule":null,"upstream":"u","internal_dsl":["EXIST","URL"]}') }, { nil, "rule: missing" })
    equals({ rule.parse('{"rule":"a\\nb","upstream":"u","internal_dsl":["EXIST","URL"]}') }, { nil, "rule: a control character in it" })
end

function TestParse.test_an_upstream_is_needed_unless_it_redirects()
    check_error({ upstream = cjson.null }, "upstream: missing")
    check_error({ upstream = "" }, "upstream: missing")
    equals(parsed({ upstream = "", redirect_url = "/x" }).upstream, nil)
    equals(parsed({ redirect_url = "/x" }).upstream, "u")
    check_text_field("upstream")
end

function TestParse.test_fields_that_are_not_known_are_left_alone()
    equals(parsed({ priority = 5, subsystem = { 1 }, certificate_name = cjson.null }).id, "r")
end


local TestMatching = {}

function TestMatching.test_one_expression_several_and_one_without_a_list()
    local requests = { new_request({ host = "a.b", path = "/x" }), new_request({ host = "a.b", path = "/y" }) }
    local several = parsed({ internal_dsl = { { "ENDS_WITH", "HOST", "b" }, { "EQ", "URL", "/x" } } })
    equals({ several.test(requests[1]), several.test(requests[2]) }, { true, false })
    equals({ several.path, several.other }, { "/x" })
    local bare = parsed({ internal_dsl = { "AND", { "ENDS_WITH", "HOST", "b" }, { "EQ", "URL", "/y" } } })
    equals({ bare.test(requests[1]), bare.test(requests[2]) }, { false, true })
end

function TestMatching.test_nothing_would_match_everything()
    for _, nothing in ipairs({ cjson.null, "", {} }) do
        check_error({ internal_dsl = nothing }, "internal_dsl: " .. NOTHING_MATCHES)
    end
end

function TestMatching.test_wrong_types_and_malformed_expressions()
    check_error({ internal_dsl = "EQ" }, "internal_dsl: a text, not a list")
    check_error({ internal_dsl = { EQ = 1 } }, "internal_dsl: an object, not a list")
    check_error({ internal_dsl = true }, "internal_dsl: a boolean, not a list")
    check_error({ internal_dsl = { "EQ", "HOST" } }, "internal_dsl: at the top: EQ on HOST takes 1 argument, not 0")
    check_error({ internal_dsl = { { "EQ", "HOST" } } }, "internal_dsl: at [0]: EQ on HOST takes 1 argument, not 0")
    check_error({ internal_dsl = { { "AND", { "EQUALS" } }, cjson.null, 7 } },
        "internal_dsl: at [0][1]: unknown operator 'EQUALS'; at [1]: null is no expression; at [2]: 7 is no expression")
end


local TestRedirect = {}

function TestRedirect.test_any_field_makes_one()
    equals(parsed({}).redirect, nil)
    equals(parsed({ redirect_url = "https://x/y" }).redirect, "https://x/y")
    equals(parsed({ redirect_host = "x" }).redirect, { host = "x" })
    equals(parsed({ redirect_scheme = "HTTPS" }).redirect, { scheme = "https" })
    equals(parsed({ redirect_port = 8443 }).redirect, { port = 8443 })
    equals(parsed({ redirect_code = 301 }), { id = "r", upstream = "u", host = "a.b" })
    local found = parsed({ redirect_url = "/", redirect_scheme = "http", redirect_host = "h", redirect_port = 1, redirect_code = 308 })
    equals({ found.redirect, found.redirect_code }, { { url = "/", scheme = "http", host = "h", port = 1 }, 308 })
end

function TestRedirect.test_absent_is_null_and_empty_and_0()
    for _, field in ipairs({ "redirect_url", "redirect_code", "redirect_scheme", "redirect_host", "redirect_port" }) do
        check_absent(field, function(found) return found.redirect end)
    end
    equals(parsed({ redirect_code = 0, redirect_port = 0 }).redirect, nil)
end

function TestRedirect.test_codes()
    for _, code in ipairs({ 301, 303, 307, 308 }) do
        equals(parsed({ redirect_url = "/", redirect_code = code }).redirect_code, code)
    end
    equals(parsed({ redirect_url = "/", redirect_code = 302 }).redirect_code, nil)
    for _, code in ipairs({ 200, 300, 304, 305, 399, 302.5, -302 }) do
        check_error({ redirect_code = code }, "redirect_code: " .. code .. " is not one of 301, 302, 303, 307, 308")
    end
    check_error({ redirect_code = "302" }, "redirect_code: a text, not a number")
end

function TestRedirect.test_wrong_types_and_values()
    check_text_field("redirect_url")
    check_text_field("redirect_host")
    check_text_field("redirect_scheme")
    check_error({ redirect_scheme = "ftp" }, "redirect_scheme: 'ftp' is not one of http, https")
    check_error({ redirect_port = "80" }, "redirect_port: a text, not a number")
    check_error({ redirect_port = -1 }, "redirect_port: -1 is not a whole number from 0 to 65535")
    check_error({ redirect_port = 65536 }, "redirect_port: 65536 is not a whole number from 0 to 65535")
    check_error({ redirect_port = 80.5 }, "redirect_port: 80.5 is not a whole number from 0 to 65535")
    check_error({ redirect_url = "/\r\nx: y" }, "redirect_url: a control character in it")
    check_error({ redirect_host = "a\0b" }, "redirect_host: a control character in it")
end


local TestCors = {}

function TestCors.test_it_is_on_only_when_enabled()
    equals(parsed({ cors_allow_origin = "x" }).cors, nil)
    equals(parsed({ enable_cors = false, cors_allow_origin = "x" }).cors, nil)
    equals(parsed({ enable_cors = cjson.null }).cors, nil)
    equals(parsed({ enable_cors = true, cors_allow_origin = "https://x", cors_allow_headers = "X-A,X-B" }).cors,
        { origin = "https://x", headers = "X-A,X-B" })
end

function TestCors.test_defaults()
    local cors = parsed({ enable_cors = true, cors_allow_origin = "", cors_allow_headers = cjson.null }).cors
    equals(cors, {
        origin = "*",
        headers = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization",
    })
end

function TestCors.test_wrong_types_and_values()
    check_error({ enable_cors = "true" }, "enable_cors: a text, not true or false")
    check_error({ enable_cors = 1 }, "enable_cors: a number, not true or false")
    check_text_field("cors_allow_origin")
    check_text_field("cors_allow_headers")
    check_error({ cors_allow_origin = "a\nb" }, "cors_allow_origin: a control character in it")
    check_error({ cors_allow_headers = "a\rb" }, "cors_allow_headers: a control character in it")
end


local TestRewrite = {}

function TestRewrite.test_a_target_makes_one()
    equals(parsed({ rewrite_base = "/a", url = "/b" }).rewrite, nil)
    equals(parsed({ rewrite_target = "/new" }).rewrite, { pattern = "/", target = "/new" })
    equals(parsed({ rewrite_target = "/new", url = "/b" }).rewrite, { pattern = "/b", target = "/new" })
    equals(parsed({ rewrite_target = "/$1", url = "/b", rewrite_base = "^/a(.*)" }).rewrite, { pattern = "^/a(.*)", target = "/$1" })
    equals(parsed({ rewrite_target = "/whole", rewrite_base = ".*" }).rewrite, { target = "/whole" })
end

function TestRewrite.test_absent_is_null_and_empty()
    check_absent("rewrite_target", function(found) return found.rewrite end)
    equals(parsed({ rewrite_target = "/x", rewrite_base = "", url = cjson.null }).rewrite, { pattern = "/", target = "/x" })
end

function TestRewrite.test_wrong_types_and_patterns()
    check_text_field("rewrite_target")
    check_text_field("rewrite_base")
    check_text_field("url")
    for field, fields in pairs({
        rewrite_base = { rewrite_target = "/", rewrite_base = "(" },
        url = { rewrite_target = "/", url = "(" },
    }) do
        local found, err = rule.parse(text_of(fields))
        luaunit.assertNil(found)
        luaunit.assertStrContains(err, field .. ": '(' is no regular expression: ")
    end
    check_error({ rewrite_target = "/a\nb" }, "rewrite_target: a control character in it")
end


local TestUpstreamFields = {}

function TestUpstreamFields.test_protocol_in_any_case()
    for text, protocol in pairs({ HTTP = "http", https = "https", Grpc = "grpc", GRPCS = "grpcs" }) do
        equals(parsed({ backend_protocol = text }).backend_protocol, protocol)
    end
    check_absent("backend_protocol", function(found) return found.backend_protocol end)
    check_error({ backend_protocol = "AJP" }, "backend_protocol: 'AJP' is not one of grpc, grpcs, http, https")
    check_text_field("backend_protocol")
end

function TestUpstreamFields.test_vhost()
    equals(parsed({ vhost = "inner.example.com" }).vhost, "inner.example.com")
    check_absent("vhost", function(found) return found.vhost end)
    check_error({ vhost = "a\r\nb" }, "vhost: a control character in it")
    check_text_field("vhost")
end

function TestUpstreamFields.test_timeouts_are_seconds()
    local function timeouts(timeout)
        return parsed({ config = { timeout = timeout } }).timeouts
    end
    equals(timeouts({ proxy_connect_timeout_ms = 1500, proxy_send_timeout_ms = 2000, proxy_read_timeout_ms = 1 }),
        { connect = 1.5, send = 2, read = 0.001 })
    equals(timeouts({ proxy_read_timeout_ms = 60000 }), { read = 60 })
    equals(timeouts({ proxy_read_timeout_ms = 0, proxy_send_timeout_ms = cjson.null }), nil)
    equals(timeouts(cjson.null), nil)
    equals(parsed({ config = cjson.null }).timeouts, nil)
    equals(parsed({ config = {} }).timeouts, nil)
end

function TestUpstreamFields.test_wrong_timeouts()
    local function check(timeout, expected)
        check_error({ config = { timeout = timeout } }, "config.timeout" .. expected)
    end
    check({ 1 }, ": a list, not an object")
    check("1s", ": a text, not an object")
    for _, name in ipairs({ "proxy_connect_timeout_ms", "proxy_send_timeout_ms", "proxy_read_timeout_ms" }) do
        check({ [name] = "1" }, "." .. name .. ": a text, not a number")
        check({ [name] = -1 }, "." .. name .. ": -1 is not a whole number from 0 to 86400000")
        check({ [name] = 1.5 }, "." .. name .. ": 1.5 is not a whole number from 0 to 86400000")
        check({ [name] = 1e15 }, "." .. name .. ": 1e+15 is not a whole number from 0 to 86400000")
    end
    check_error({ config = 7 }, "config: a number, not an object")
    check_error({ config = { 7 } }, "config: a list, not an object")
end


local TestHeaders = {}

local function changes(fields)
    return parsed({ config = { rewrite_request = fields } }).request_headers
end

function TestHeaders.test_to_set_to_add_and_to_remove()
    equals(changes({ headers = { b = "2", a = "1" } }), { set = { { "a", "1" }, { "b", "2" } }, add = {}, remove = {} })
    equals(changes({ headers_add = { b = { "2", "3" }, a = "1" } }),
        { set = {}, add = { { "a", "1" }, { "b", "2" }, { "b", "3" } }, remove = {} })
    equals(changes({ headers_remove = { "x", "b" } }), { set = {}, add = {}, remove = { "b", "x" } })
    equals(changes({ headers = { n = 7, e = "" } }), { set = { { "e", "" }, { "n", "7" } }, add = {}, remove = {} })
    local response = parsed({ config = { rewrite_response = { headers = { a = "1" } } } })
    equals({ response.request_headers, response.response_headers }, { nil, { set = { { "a", "1" } }, add = {}, remove = {} } })
end

function TestHeaders.test_nothing_to_do_is_nothing()
    equals(changes(cjson.null), nil)
    equals(changes({}), nil)
    equals(changes({ headers = cjson.null, headers_add = {}, headers_remove = cjson.null }), nil)
    equals(changes({ headers = { a = cjson.null }, headers_add = { b = { cjson.null } } }), nil)
end

function TestHeaders.test_wrong_names()
    for _, name in ipairs({ "a b", "a:b", "", "a\n", "é", "a\0", "(a)" }) do
        local shown = name:gsub("\n", "\\x0a"):gsub("%z", "\\x00")
        local text = ": '" .. shown .. "' is not the name of a header"
        check_error({ config = { rewrite_request = { headers = { [name] = "x" } } } }, "config.rewrite_request.headers" .. text)
        check_error({ config = { rewrite_response = { headers_add = { [name] = "x" } } } }, "config.rewrite_response.headers_add" .. text)
        check_error({ config = { rewrite_response = { headers_remove = { name } } } }, "config.rewrite_response.headers_remove" .. text)
    end
    check_error({ config = { rewrite_request = { headers_remove = { 7, { "a" } } } } },
        "config.rewrite_request.headers_remove: a number is not the name of a header; "
            .. "config.rewrite_request.headers_remove: a list is not the name of a header")
end

function TestHeaders.test_what_says_where_a_message_ends_is_not_to_change()
    for _, name in ipairs({ "Content-Length", "transfer-encoding" }) do
        local text = ": '" .. name .. "' says where a message ends, which no rule can change"
        check_error({ config = { rewrite_request = { headers = { [name] = "1" } } } }, "config.rewrite_request.headers" .. text)
        check_error({ config = { rewrite_response = { headers_add = { [name] = "1" } } } }, "config.rewrite_response.headers_add" .. text)
        check_error({ config = { rewrite_request = { headers_remove = { name } } } }, "config.rewrite_request.headers_remove" .. text)
    end
end

function TestHeaders.test_wrong_values()
    for _, value in ipairs({ "a\rb", "a\nb", "a\0b" }) do
        check_error({ config = { rewrite_request = { headers = { A = value } } } },
            "config.rewrite_request.headers: the value of 'A' has a line end or NUL in it")
        check_error({ config = { rewrite_request = { headers_add = { A = { "fine", value } } } } },
            "config.rewrite_request.headers_add: the value of 'A' has a line end or NUL in it")
    end
    check_error({ config = { rewrite_request = { headers = { A = true } } } },
        "config.rewrite_request.headers: the value of 'A' is a boolean, not a text")
    check_error({ config = { rewrite_request = { headers = { A = { "x" } } } } },
        "config.rewrite_request.headers: the value of 'A' is a list, not a text")
    check_error({ config = { rewrite_request = { headers_add = { A = { { 1 } } } } } },
        "config.rewrite_request.headers_add: the value of 'A' is a list, not a text")
end

function TestHeaders.test_wrong_types()
    check_error({ config = { rewrite_request = 7 } }, "config.rewrite_request: a number, not an object")
    check_error({ config = { rewrite_response = { 7 } } }, "config.rewrite_response: a list, not an object")
    check_error({ config = { rewrite_request = { headers = { "a" } } } }, "config.rewrite_request.headers: a list, not an object")
    check_error({ config = { rewrite_request = { headers_add = "a" } } }, "config.rewrite_request.headers_add: a text, not an object")
    check_error({ config = { rewrite_request = { headers_remove = { a = "b" } } } },
        "config.rewrite_request.headers_remove: an object, not a list")
end


local TestStream = {}

function TestStream.test_a_rule_of_layer_4()
    equals(rule.parse_stream('{"rule":"r","upstream":"u","internal_dsl":7,"config":{"timeout":{"proxy_connect_timeout_ms":500}}}'),
        { id = "r", upstream = "u", timeouts = { connect = 0.5 } })
    equals(rule.parse_stream('{"rule":"r","upstream":"u","config":null}'), { id = "r", upstream = "u" })
end

function TestStream.test_what_is_wrong()
    equals({ rule.parse_stream('{"rule":"r"}') }, { nil, "upstream: missing", "r" })
    equals({ rule.parse_stream('{"upstream":"u","config":[1]}') }, { nil, "rule: missing; config: a list, not an object" })
    equals({ rule.parse_stream("[1]") }, { nil, "a list, not an object" })
    luaunit.assertStrContains(select(2, rule.parse_stream("x")), "could not decode: ")
end


return {
    TestParse = TestParse,
    TestMatching = TestMatching,
    TestRedirect = TestRedirect,
    TestCors = TestCors,
    TestRewrite = TestRewrite,
    TestUpstreamFields = TestUpstreamFields,
    TestHeaders = TestHeaders,
    TestStream = TestStream,
}
