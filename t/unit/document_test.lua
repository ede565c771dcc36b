local cjson = require "cjson"
local content_of = require "content_of"
local document = require "gateway.document"
local luaunit = require "luaunit"

local equals = luaunit.assertEquals

-- The texts of members.
local function texts_of(spans)
    local texts = {}
    for i = 1, spans.count do
        texts[i] = spans:text(i)
    end
    return texts
end

local function each_port(ports)
    local list = {}
    for i, entry in ipairs(ports) do
        list[i] = { entry[1], texts_of(entry[2]) }
    end
    return list
end

-- The document of a text, with the texts of its members in their places.
local function split(text, pause)
    local content = content_of(text)
    local doc, err = document.split(content, pause)
    if not doc then
        content:release()
        return nil, err
    end
    local certificates = {}
    for i, domain in ipairs(doc.certificates.names) do
        certificates[i] = { domain, doc.certificates.spans:text(i) }
    end
    local texts = {
        certificates = certificates, http = { tcp = each_port(doc.http.tcp) },
        stream = { tcp = each_port(doc.stream.tcp), udp = each_port(doc.stream.udp) }, groups = texts_of(doc.groups),
    }
    content:release()
    return texts
end

local EMPTY = { certificates = {}, http = { tcp = {} }, stream = { tcp = {}, udp = {} }, groups = {} }

local SAMPLE = [==[
{
  "certificate_map": {
    "Example.com": {"cert": "-----BEGIN\n \"x\" \\ \u00e9 \ud83d\ude00", "key": "k"},
    "*.example.com": {"cert": "", "key": ""},
    "443": {}
  },
  "http": { "tcp": {
      "80": [ {"rule": "a", "n": [0, -1, 1.5, -0.0, 1e5, 1E+5, 2.25e-3, 120]}, {} ,{"deep": {"er": [[[], {}], [{"x": null}]]}} ],
      "443": [],
      "65535": null } , "udp": "not looked at" },
  "stream": {"tcp":{"22":[{"rule":"s"}]},"udp":{"53":[{"rule":"d"},{"rule":"e"}]}},
  "backend_group": [ {"name": "g", "backends": [{"address": "10.0.0.1", "port": 80}]} , {"name":"h","flag":true,"off":false} ],
  "else": [true, false, null, "\b\f\n\r\t\/\"\\", {"http": 1}]
}
]==]

-- Each of `cases`, text -> the whole error.
local function check_errors(cases)
    for text, expected in pairs(cases) do
        local doc, err = split(text)
        equals({ text, doc, err }, { text, nil, expected })
    end
end


local TestSplit = {}

function TestSplit.test_the_parts_are_the_texts_of_the_members()
    local doc = assert(split(
        '{"certificate_map":{"a.b":{"cert":"c" }},"http":{"tcp":{"80":[ {"rule" : 1},{}]}},"backend_group":[{"name":"g"}],'
            .. '"stream":{"tcp":{"1":[{"a":2}]},"udp":{"2":[{"b":3}]}}}'))
    equals(doc, {
        certificates = { { "a.b", '{"cert":"c" }' } },
        http = { tcp = { { 80, { '{"rule" : 1}', "{}" } } } },
        stream = { tcp = { { 1, { '{"a":2}' } } }, udp = { { 2, { '{"b":3}' } } } },
        groups = { '{"name":"g"}' },
    })
end

-- The document as it would be had the whole been decoded.
local function decoded(doc)
    local function each(texts)
        local list = {}
        for i, text in ipairs(texts) do
            list[i] = cjson.decode(text)
        end
        return list
    end
    local function ports(list)
        local map = {}
        for _, entry in ipairs(list) do
            map[tostring(entry[1])] = each(entry[2])
        end
        return map
    end
    local certificates = {}
    for _, entry in ipairs(doc.certificates) do
        certificates[entry[1]] = cjson.decode(entry[2])
    end
    return certificates, ports(doc.http.tcp), ports(doc.stream.tcp), ports(doc.stream.udp), each(doc.groups)
end

local function without_nulls(map)
    for name, value in pairs(map) do
        map[name] = value ~= cjson.null and value or {}
    end
    return map
end

function TestSplit.test_the_parts_decode_to_what_the_whole_decodes_to()
    local whole = cjson.decode(SAMPLE)
    local certificates, http, tcp, udp, groups = decoded(assert(split(SAMPLE)))
    equals(certificates, whole.certificate_map)
    equals(http, without_nulls(whole.http.tcp))
    equals(tcp, whole.stream.tcp)
    equals(udp, whole.stream.udp)
    equals(groups, whole.backend_group)
end

function TestSplit.test_members_keep_their_order()
    local names, lines = {}, {}
    for i = 1, 200 do
        names[i] = "d" .. (i * 7919 % 1000)
        lines[i] = '"' .. names[i] .. '":{}'
    end
    local doc = assert(split('{"certificate_map":{' .. table.concat(lines, ",") .. "}}"))
    for i, entry in ipairs(doc.certificates) do
        equals(entry[1], names[i])
    end
end

function TestSplit.test_absent_and_null_sections_are_empty()
    for _, text in ipairs({
        "{}", " \t\r\n{ } \n", '{"certificate_map":null,"http":null,"stream":null,"backend_group":null}',
        '{"http":{},"stream":{},"certificate_map":{},"backend_group":[]}', '{"http":{"tcp":null},"stream":{"tcp":null,"udp":null}}',
        '{"http":{"tcp":{}},"stream":{"udp":{}}}', '{"HTTP":{"tcp":{"80":3}},"backend_groups":7}',
    }) do
        equals({ text, split(text) }, { text, EMPTY })
    end
    equals(split('{"http":{"tcp":{"80":null}}}').http.tcp, { { 80, {} } })
end

function TestSplit.test_of_members_with_the_same_name_the_last_counts()
    local doc = assert(split(
        '{"http":{"tcp":{"80":[{"a":1}],"81":[],"80":[{"a":2}]}},"certificate_map":{"x":{"n":1},"y":{},"x":{"n":2}}}'))
    equals(doc.http.tcp, { { 80, { '{"a":2}' } }, { 81, {} } })
    equals(doc.certificates, { { "x", '{"n":2}' }, { "y", "{}" } })
    equals(split('{"http":{"tcp":{"80":[{}]}},"http":{"tcp":{"81":[{}]}}}').http.tcp, { { 81, { "{}" } } })
    equals(split('{"http":{"tcp":{"80":[{}]},"tcp":null}}').http.tcp, {})
    equals(split('{"backend_group":[{}],"backend_group":null}').groups, {})
    equals(split('{"http":{"tcp":{"80":[{}]}},"http":null}').http.tcp, {})
end

function TestSplit.test_names_may_be_written_with_escapes()
    local doc = assert(split([[{"\u0068ttp":{"t\u0063p":{"\u00380":[{}]}},"certificate_map":{"a\/\u0062\ud83d\ude00\"":{}}}]]))
    equals(doc.http.tcp, { { 80, { "{}" } } })
    equals(doc.certificates, { { 'a/b😀"', "{}" } })
    local _, err = split([[{"\ud83d":1}]])
    luaunit.assertStrContains(err, "line 1, column 11: a member's name cannot be decoded: ")
end

function TestSplit.test_a_large_document_gives_its_caller_pauses()
    local rule = '{"rule":"' .. ("x"):rep(1000) .. '"}'
    local text = '{"http":{"tcp":{"80":[' .. (rule .. ","):rep(3999) .. rule .. "]}}}"
    local pauses = 0
    local doc = assert(split(text, function()
        pauses = pauses + 1
        ngx.sleep(0.001)
    end))
    equals(#doc.http.tcp[1][2], 4000)
    equals(pauses, math.floor(#text / (256 * 1024)))
    pauses = 0
    assert(split('{"else":[' .. ("[1,2,3],"):rep(100000) .. "0]}", function() pauses = pauses + 1 end))
    equals(pauses, 3)
end

function TestSplit.test_an_error_of_the_pause_is_not_the_documents()
    local text = '{"else":[' .. ("1,"):rep(200000) .. "1]}"
    luaunit.assertErrorMsgContains("cannot pause here", split, text, function() error("cannot pause here") end)
end

function TestSplit.test_huge_texts_and_numbers_of_members()
    local text = ("x"):rep(20 * 1024 * 1024)
    equals(#split('{"certificate_map":{"a":{"cert":"' .. text .. '"}}}').certificates[1][2], #text + 11)
    local many = '{"http":{"tcp":{"80":[' .. ("{},"):rep(300000) .. "{}]}}}"
    equals(#split(many).http.tcp[1][2], 300001)
end


local TestShape = {}

function TestShape.test_a_policy_is_an_object()
    check_errors({
        ["[]"] = "line 1, column 1: the policy is not an object",
        ["null"] = "line 1, column 1: the policy is not an object",
        ["\n 7"] = "line 2, column 2: the policy is not an object",
        ["<html>"] = "line 1, column 1: the policy is not an object",
        ["\239\187\191{}"] = "line 1, column 1: the policy is not an object",
        ["{}{}"] = "line 1, column 3: something follows the policy's end",
        ["{}\n,"] = "line 2, column 1: something follows the policy's end",
        ["{}\0"] = "line 1, column 3: something follows the policy's end",
        ["{\0}"] = "line 1, column 2: a member's name in double quotes is missing",
    })
end

function TestShape.test_sections_have_their_types()
    for value, at in pairs({ ["7"] = 0, ['"x"'] = 0, ["true"] = 0, ["[]"] = 0, ["false"] = 0, ["[{}]"] = 0 }) do
        check_errors({
            ['{"certificate_map":' .. value .. "}"] = "line 1, column " .. 20 + at .. ": certificate_map is not an object",
            ['{"http":' .. value .. "}"] = "line 1, column 9: http is not an object",
            ['{"stream":' .. value .. "}"] = "line 1, column 11: stream is not an object",
            ['{"http":{"tcp":' .. value .. "}}"] = "line 1, column 16: http.tcp is not an object",
            ['{"stream":{"udp":' .. value .. "}}"] = "line 1, column 18: stream.udp is not an object",
        })
    end
    for _, value in ipairs({ "7", '"x"', "true", "{}" }) do
        check_errors({
            ['{"backend_group":' .. value .. "}"] = "line 1, column 18: backend_group is not a list",
            ['{"http":{"tcp":{"80":' .. value .. "}}}"] = "line 1, column 22: http.tcp.80 is not a list",
            ['{"stream":{"udp":{"53":' .. value .. "}}}"] = "line 1, column 24: stream.udp.53 is not a list",
        })
    end
end

function TestShape.test_members_are_objects_and_counted_from_0()
    check_errors({
        ['{"http":{"tcp":{"80":[{},\n{},7]}}}'] = "line 2, column 4: http.tcp.80[2] is not an object",
        ['{"http":{"tcp":{"80":[null]}}}'] = "line 1, column 23: http.tcp.80[0] is not an object",
        ['{"stream":{"tcp":{"22":["x"]}}}'] = "line 1, column 25: stream.tcp.22[0] is not an object",
        ['{"backend_group":[{},[]]}'] = "line 1, column 22: backend_group[1] is not an object",
        ['{"certificate_map":{"a.b":"x"}}'] = "line 1, column 27: certificate_map.a.b is not an object",
        ['{"certificate_map":{"a\\nb":null}}'] = "line 1, column 28: certificate_map.a\\x0ab is not an object",
    })
end

function TestShape.test_ports_are_ports()
    for _, port in ipairs({ "0", "65536", "080", "-1", "http", "", "80 ", "8 0", "99999", "100000", "1e2", "80.0" }) do
        check_errors({
            ['{"http":{"tcp":{"' .. port .. '":[]}}}'] =
                "line 1, column " .. 20 + #port .. ": http.tcp." .. port .. ": not a port from 1 to 65535",
        })
    end
    equals(split('{"stream":{"udp":{"1":[],"65535":[]}}}').stream.udp, { { 1, {} }, { 65535, {} } })
end


local TestGrammar = {}

-- Each of `cases`, text of a value -> message and column within it.
local function check_value_errors(cases)
    for value, expected in pairs(cases) do
        check_errors({
            ['{"else":' .. value .. "}"] = "line 1, column " .. 8 + expected[2] .. ": " .. expected[1],
            ['{"http":{"tcp":{"80":[{"x":' .. value .. "}]}}}"] = "line 1, column " .. 27 + expected[2] .. ": " .. expected[1],
        })
    end
end

function TestGrammar.test_values()
    local missing = "a value is missing"
    check_value_errors({
        [""] = { missing, 1 },
        ["tru"] = { missing, 1 },
        ["True"] = { missing, 1 },
        ["nul"] = { missing, 1 },
        ["fals"] = { missing, 1 },
        ["NaN"] = { missing, 1 },
        ["Infinity"] = { missing, 1 },
        ["'x'"] = { missing, 1 },
        ["+1"] = { missing, 1 },
        [".5"] = { missing, 1 },
        ["/*x*/1"] = { missing, 1 },
        ["]"] = { missing, 1 },
        [","] = { missing, 1 },
        ["[,]"] = { missing, 2 },
        ["[1,]"] = { missing, 4 },
        ["[1,,2]"] = { missing, 4 },
        ['{"a":}'] = { missing, 6 },
        ["truefalse"] = { "',' or '}' is missing", 5 },
        ["nullx"] = { "',' or '}' is missing", 5 },
    })
end

function TestGrammar.test_numbers()
    local digit = "a digit is missing in a number"
    check_value_errors({
        ["-"] = { digit, 2 },
        ["--1"] = { digit, 2 },
        ["-a"] = { digit, 2 },
        ["1."] = { digit, 3 },
        ["1.e5"] = { digit, 3 },
        ["1e"] = { digit, 3 },
        ["1e+"] = { digit, 4 },
        ["1E-x"] = { digit, 4 },
        ["01"] = { "a number begins with a needless zero", 1 },
        ["-012"] = { "a number begins with a needless zero", 2 },
        ["0x10"] = { "',' or '}' is missing", 2 },
        ["1.2.3"] = { "',' or '}' is missing", 4 },
    })
    for _, number in ipairs({ "0", "-0", "0.0", "10", "1.25", "-1.5e10", "1E5", "1e+5", "1e-05", "123456789012345678901234567890" }) do
        luaunit.assertNotNil(split('{"else":' .. number .. "}"), number)
    end
end

function TestGrammar.test_strings()
    check_value_errors({
        ['"\\x"'] = { "unknown escape in a string", 2 },
        ['"a\\'] = { "unknown escape in a string", 3 },
        ['"\\U0041"'] = { "unknown escape in a string", 2 },
        ['"\\u12"'] = { "\\u takes four hexadecimal digits", 2 },
        ['"\\u12g4"'] = { "\\u takes four hexadecimal digits", 2 },
        ['"\\u"'] = { "\\u takes four hexadecimal digits", 2 },
        ['"a\tb"'] = { "control character 0x09 in a string", 3 },
        ['"\1"'] = { "control character 0x01 in a string", 2 },
        ['"\31"'] = { "control character 0x1f in a string", 2 },
        ['"abc\0"'] = { "control character 0x00 in a string", 5 },
    })
    check_errors({ ['{"else":"a\nb"}'] = "line 1, column 11: control character 0x0a in a string" })
    for _, text in ipairs({ "\127", "é", "\255\254", "😀", '\\"', "\\\\", "\\/", "\\u00FF", "\\ud83d", " ", "'" }) do
        luaunit.assertNotNil(split('{"else":"' .. text .. '","x":"' .. text .. text .. '"}'), text)
    end
end

function TestGrammar.test_the_end_of_the_text_in_the_middle_of_something()
    check_errors({
        ['{"else":tr'] = "line 1, column 11: the text ends here, but a value is missing",
        ['{"else":"a\\'] = "line 1, column 12: the text ends here, but a string is not closed",
        ['{"else":"\\u00'] = "line 1, column 14: the text ends here, but a string is not closed",
    })
end

function TestGrammar.test_objects_and_lists()
    check_value_errors({
        ["{a:1}"] = { "a member's name in double quotes is missing", 2 },
        ["{1:1}"] = { "a member's name in double quotes is missing", 2 },
        ['{"a":1,}'] = { "a member's name in double quotes is missing", 8 },
        ["{,}"] = { "a member's name in double quotes is missing", 2 },
        ['{"a" 1}'] = { "':' is missing behind a member's name", 6 },
        ['{"a"}'] = { "':' is missing behind a member's name", 5 },
        ['{"a":1 "b":2}'] = { "',' or '}' is missing", 8 },
        ['{"a":1]'] = { "',' or '}' is missing", 7 },
        ["[1 2]"] = { "',' or ']' is missing", 4 },
        ["[1}"] = { "',' or ']' is missing", 3 },
        ["[[1,2]"] = { "',' or ']' is missing", 7 },
        ['[{"a":[1}]'] = { "',' or ']' is missing", 9 },
    })
end

function TestGrammar.test_the_same_holds_on_the_way_to_the_members()
    check_errors({
        ["{x}"] = "line 1, column 2: a member's name in double quotes is missing",
        ['{"http" {}}'] = "line 1, column 9: ':' is missing behind a member's name",
        ['{"http":}'] = "line 1, column 9: http is not an object",
        ['{"http":{} "stream":{}}'] = "line 1, column 12: ',' or '}' is missing",
        ['{"http":{},}'] = "line 1, column 12: a member's name in double quotes is missing",
        ['{"http":{"tcp":{"80":[{}{}]}}}'] = "line 1, column 25: ',' or ']' is missing",
        ['{"http":{"tcp":{"80":[{},]}}}'] = "line 1, column 26: http.tcp.80[1] is not an object",
        ['{"backend_group":[{}}'] = "line 1, column 21: ',' or ']' is missing",
        ['{"http":nul}'] = "line 1, column 9: a value is missing",
    })
end

function TestGrammar.test_lines_and_columns()
    check_errors({
        ['{\n  "a": 1,\n  "b": x\n}'] = "line 3, column 8: a value is missing",
        ['{\r\n"a":\r\n\r\n}'] = "line 4, column 1: a value is missing",
        ['{"é": x}'] = "line 1, column 8: a value is missing",
        ['\n\n\n{"a":1'] = "line 4, column 7: the text ends here, but ',' or '}' is missing",
        ['{"a":1\n'] = "line 2, column 1: the text ends here, but ',' or '}' is missing",
    })
end

function TestGrammar.test_depth_has_a_limit()
    local function nested(depth)
        return '{"else":' .. ("["):rep(depth) .. ("]"):rep(depth) .. "}"
    end
    luaunit.assertNotNil(split(nested(256)))
    check_errors({
        [nested(257)] = "line 1, column 265: nested deeper than 256",
        [nested(100000)] = "line 1, column 265: nested deeper than 256",
        ['{"else":' .. ('{"a":'):rep(100000)] = "line 1, column 1289: nested deeper than 256",
    })
end

function TestGrammar.test_a_text_that_ends_too_early_is_an_error_wherever_it_ends()
    for length = 0, #SAMPLE - 3 do
        local doc, err = split(SAMPLE:sub(1, length))
        luaunit.assertNil(doc, "accepted although cut at " .. length)
        luaunit.assertStrMatches(err, "line %d+, column %d+: .+")
    end
    luaunit.assertNotNil(split(SAMPLE:sub(1, -2)))
end

function TestGrammar.test_how_early_ends_are_told()
    local ends = "the text ends here, but "
    check_errors({
        [""] = "line 1, column 1: " .. ends .. "the policy is not an object",
        ["{"] = "line 1, column 2: " .. ends .. "a member's name in double quotes is missing",
        ['{"a'] = "line 1, column 4: " .. ends .. "a string is not closed",
        ['{"a"'] = "line 1, column 5: " .. ends .. "':' is missing behind a member's name",
        ['{"a":'] = "line 1, column 6: " .. ends .. "a value is missing",
        ['{"a":-'] = "line 1, column 7: " .. ends .. "a digit is missing in a number",
        ['{"a":[1'] = "line 1, column 8: " .. ends .. "',' or ']' is missing",
    })
end

-- Texts that cjson accepts although they are no JSON, or refuses although they are.
local function judged_otherwise(text)
    return text:find("[nN][aA][nN]") or text:find("[iI][nN][fF]") or text:find("0[xX]") or text:find("%f[%d]0%d") or text:find("\\u[dD]")
        or text:find("[%z\127-\255]") or text:find("[%d]%.[^%d]") or text:find("%.$") or text:find("%-%.")
end

function TestGrammar.test_damaged_texts_are_judged_as_the_decoder_judges_them()
    math.randomseed(tonumber(os.getenv("UNIT_SEED")) or 7)
    local decode, accepted, compared = require("cjson.safe").decode, 0, 0
    local bytes = '{}[]",:0123456789.-+eE\\untrfalsb \n\tx'
    for _ = 1, 20000 do
        local at, with = math.random(#SAMPLE), math.random(#bytes)
        local text = SAMPLE:sub(1, at - 1) .. bytes:sub(with, with) .. SAMPLE:sub(at + math.random(0, 2))
        if not judged_otherwise(text:gsub("\\ud83d\\ude00", "")) then
            local doc, err = split(text)
            local whole = decode(text)
            local wrong_shape = err and (err:find("is not a") or err:find("not a port"))
            if not wrong_shape and (doc ~= nil) ~= (whole ~= nil) then
                luaunit.fail((err or "accepted") .. ", but the decoder says otherwise of\n" .. text)
            end
            accepted, compared = accepted + (doc and 1 or 0), compared + 1
        end
    end
    luaunit.assertTrue(accepted > compared / 20 and accepted < compared / 2, accepted .. " of " .. compared .. " accepted")
end


return { TestSplit = TestSplit, TestShape = TestShape, TestGrammar = TestGrammar }
