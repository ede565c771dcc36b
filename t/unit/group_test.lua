local cjson = require "cjson"
local group = require "gateway.group"
local luaunit = require "luaunit"

local equals = luaunit.assertEquals

-- JSON text of a usable group with other fields besides or instead.
local function text_of(fields)
    local object = { name = "g", mode = "http" }
    for name, value in pairs(fields) do
        object[name] = value
    end
    return cjson.encode(object)
end

local function parsed(fields)
    return assert(group.parse(text_of(fields)))
end

local function check_error(fields, expected)
    local text = text_of(fields)
    equals({ text, group.parse(text) }, { text, nil, expected, "g" })
end

local function peers_of(backends)
    return parsed({ backends = backends }).peers
end

-- A backend that cannot be used is left out with these problems, and the others stay.
local function check_problem(backend, expected)
    local found = parsed({ backends = { backend, { address = "10.0.0.9", port = 9 } } })
    equals({ #found.peers, found.peers[1].id, found.problems }, { 1, "10.0.0.9:9", { expected } })
end


local TestParse = {}

function TestParse.test_a_plain_group()
    equals(parsed({ backends = { { address = "10.0.0.1", port = 80, weight = 5 } } }), {
        name = "g",
        mode = "http",
        peers = { { id = "10.0.0.1:80", address = "10.0.0.1", port = 80, weight = 5 } },
        problems = {},
    })
end

function TestParse.test_a_group_may_be_empty()
    for _, backends in ipairs({ cjson.null, {}, "" }) do
        equals(parsed({ backends = backends }).peers, {})
    end
    equals(parsed({}).peers, {})
end

function TestParse.test_name_and_mode()
    for _, mode in ipairs({ "http", "https", "tcp", "udp", "grpc" }) do
        equals(parsed({ mode = mode }).mode, mode)
        equals(parsed({ mode = mode:upper() }).mode, mode)
    end
    check_error({ mode = "sctp" }, "mode: 'sctp' is not one of grpc, http, https, tcp, udp")
    check_error({ mode = cjson.null }, "mode: missing")
    check_error({ mode = "" }, "mode: missing")
    check_error({ mode = 7 }, "mode: a number, not a text")
    equals({ group.parse('{"mode":"http"}') }, { nil, "name: missing" })
    equals({ group.parse('{"mode":"x","name":null}') }, { nil, "mode: 'x' is not one of grpc, http, https, tcp, udp; name: missing" })
    equals({ group.parse('{"mode":"http","name":["g"]}') }, { nil, "name: a list, not a text" })
    equals({ group.parse('{"mode":"http","name":"a\\nb"}') }, { nil, "name: a control character in it" })
end

function TestParse.test_what_is_no_object()
    equals({ group.parse("[1]") }, { nil, "a list, not an object" })
    equals({ group.parse("7") }, { nil, "a number, not an object" })
    luaunit.assertStrContains(select(2, group.parse("{")), "could not decode: ")
end

function TestParse.test_backends_are_a_list()
    check_error({ backends = { address = "10.0.0.1" } }, "backends: an object, not a list")
    check_error({ backends = "10.0.0.1:80" }, "backends: a text, not a list")
end


local TestAffinity = {}

function TestAffinity.test_policies()
    local function read(policy, attribute)
        local found = parsed({ session_affinity_policy = policy, session_affinity_attribute = attribute })
        return { found.affinity or false, found.attribute or false }
    end
    equals(read(nil, nil), { false, false })
    equals(read("", "x"), { false, false })
    equals(read(cjson.null, cjson.null), { false, false })
    equals(read("sip-hash", "x"), { "sip-hash", false })
    equals(read("cookie", nil), { "cookie", "JSESSIONID" })
    equals(read("cookie", ""), { "cookie", "JSESSIONID" })
    equals(read("cookie", "SID"), { "cookie", "SID" })
    equals(read("header", "X-User"), { "header", "X-User" })
    equals(read("Cookie", "SID"), { "cookie", "SID" })
end

function TestAffinity.test_wrong_policies()
    check_error({ session_affinity_policy = "random" }, "session_affinity_policy: 'random' is not one of cookie, header, sip-hash")
    check_error({ session_affinity_policy = 7 }, "session_affinity_policy: a number, not a text")
    check_error({ session_affinity_policy = "header" }, "session_affinity_attribute: missing, but the policy is 'header'")
    check_error({ session_affinity_policy = "header", session_affinity_attribute = "a b" },
        "session_affinity_attribute: 'a b' is not the name of a header")
    check_error({ session_affinity_policy = "cookie", session_affinity_attribute = "a;b\n" },
        "session_affinity_attribute: 'a;b\\x0a' is not the name of a cookie")
    check_error({ session_affinity_attribute = true }, "session_affinity_attribute: a boolean, not a text")
end


local TestPeers = {}

function TestPeers.test_ipv6_addresses_are_in_brackets()
    equals(peers_of({ { address = "2001:DB8::1", port = 8080 }, { address = "[::1]", port = 1, weight = 2 } }), {
        { id = "[2001:db8::1]:8080", address = "[2001:db8::1]", port = 8080, weight = 1 },
        { id = "[::1]:1", address = "[::1]", port = 1, weight = 2 },
    })
end

function TestPeers.test_weights()
    equals(peers_of({ { address = "10.0.0.1", port = 1 } })[1].weight, 1)
    equals(peers_of({ { address = "10.0.0.1", port = 1, weight = cjson.null } })[1].weight, 1)
    equals(peers_of({ { address = "10.0.0.1", port = 1, weight = 1000000 } })[1].weight, 1000000)
    local found = parsed({ backends = { { address = "10.0.0.1", port = 1, weight = 0 } } })
    equals({ found.peers, found.problems }, { {}, {} })
end

function TestPeers.test_the_same_peer_twice_has_both_weights()
    equals(peers_of({
        { address = "10.0.0.1", port = 1, weight = 2 }, { address = "10.0.0.2", port = 1 }, { address = "10.0.0.1", port = 1, weight = 3 },
        { address = "10.0.0.1", port = 2 }, { address = "2001:db8::1", port = 1 }, { address = "2001:DB8:0::1", port = 1 },
        { address = "10.0.0.2", port = 1, weight = 0 },
    }), {
        { id = "10.0.0.1:1", address = "10.0.0.1", port = 1, weight = 5 },
        { id = "10.0.0.2:1", address = "10.0.0.2", port = 1, weight = 1 },
        { id = "10.0.0.1:2", address = "10.0.0.1", port = 2, weight = 1 },
        { id = "[2001:db8::1]:1", address = "[2001:db8::1]", port = 1, weight = 2 },
    })
end

function TestPeers.test_wrong_addresses()
    check_problem({ port = 80 }, "backends[0].address: missing")
    check_problem({ address = "", port = 80 }, "backends[0].address: missing")
    check_problem({ address = cjson.null, port = 80 }, "backends[0].address: missing")
    check_problem({ address = 7, port = 80 }, "backends[0].address: a number, not a text")
    check_problem({ address = "backend.local", port = 80 }, "backends[0].address: 'backend.local' is not an IP address")
    check_problem({ address = "10.0.0.1:80", port = 80 }, "backends[0].address: '10.0.0.1:80' is not an IP address")
    check_problem({ address = "fe80::1%eth0", port = 80 }, "backends[0].address: 'fe80::1%eth0' is not an IP address")
    check_problem({ address = "10.0.0.1\n", port = 80 }, "backends[0].address: '10.0.0.1\\x0a' is not an IP address")
end

function TestPeers.test_wrong_ports()
    check_problem({ address = "10.0.0.1" }, "backends[0].port: missing")
    check_problem({ address = "10.0.0.1", port = cjson.null }, "backends[0].port: missing")
    check_problem({ address = "10.0.0.1", port = "80" }, "backends[0].port: a text, not a number")
    for _, port in ipairs({ 0, -1, 65536, 80.5 }) do
        check_problem({ address = "10.0.0.1", port = port }, "backends[0].port: " .. port .. " is not a whole number from 1 to 65535")
    end
end

function TestPeers.test_wrong_weights()
    check_problem({ address = "10.0.0.1", port = 1, weight = "5" }, "backends[0].weight: a text, not a number")
    for _, weight in ipairs({ -1, 0.5, 1000001 }) do
        check_problem({ address = "10.0.0.1", port = 1, weight = weight },
            "backends[0].weight: " .. weight .. " is not a whole number from 0 to 1000000")
    end
end

function TestPeers.test_all_problems_of_all_backends_are_told()
    local found = parsed({
        backends = { { address = "x", port = 0, weight = -1 }, 7, { { 1 } }, cjson.null, { address = "10.0.0.1", port = 1 } },
    })
    equals(#found.peers, 1)
    equals(found.problems, {
        "backends[0].address: 'x' is not an IP address; backends[0].port: 0 is not a whole number from 1 to 65535; "
            .. "backends[0].weight: -1 is not a whole number from 0 to 1000000",
        "backends[1]: a number, not an object",
        "backends[2]: a list, not an object",
        "backends[3]: null, not an object",
    })
end


return { TestParse = TestParse, TestAffinity = TestAffinity, TestPeers = TestPeers }
