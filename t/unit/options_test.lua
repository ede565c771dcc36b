local address = require "gateway.address"
local luaunit = require "luaunit"
local options = require "gateway.options"

local equals = luaunit.assertEquals

-- Reads options of an environment that has these variables and no others.
local function read(overrides, variables)
    return options.read(overrides, function(name)
        return (variables or {})[name]
    end)
end

local function check_error(overrides, variables, expected)
    local found, err = read(overrides, variables)
    equals({ found, err }, { nil, expected })
end


local TestRead = {}

function TestRead.test_only_the_path_is_required()
    equals(read({ policy_path = "/p" }), {
        policy_path = "/p", policy_limit = 134217728, policy_interval = 1, watch_interval = 0.05, ports = {},
        trusted_proxies = {}, eject_seconds = 5,
    })
end

function TestRead.test_everything_from_the_environment()
    equals(read(nil, {
        NEW_POLICY_PATH = "/p", GATEWAY_POLICY_LIMIT = "1000", GATEWAY_POLICY_INTERVAL = "2.5", GATEWAY_WATCH_INTERVAL = "0.1",
        GATEWAY_PORTS = "8080=80, 8443 = 443", GATEWAY_TRUSTED_PROXIES = "10.0.0.0/8, fd00::1",
        GATEWAY_EJECT_SECONDS = "0", GATEWAY_HEALTH_CHECK = '{"type": "http", "path": "/up", "interval_ms": 500}',
    }), {
        policy_path = "/p", policy_limit = 1000, policy_interval = 2.5, watch_interval = 0.1, ports = { [8080] = 80, [8443] = 443 },
        trusted_proxies = { address.network("10.0.0.0/8"), address.network("fd00::1") }, eject_seconds = 0,
        health_check = { type = "http", path = "/up", interval = 0.5, timeout = 1, healthy = 2, unhealthy = 3 },
    })
end

function TestRead.test_an_override_wins_over_the_environment()
    equals(read({ policy_path = "/a" }, { NEW_POLICY_PATH = "/b" }).policy_path, "/a")
end

function TestRead.test_an_empty_variable_counts_as_not_set()
    equals(read({ policy_path = "/p" }, { GATEWAY_POLICY_LIMIT = "" }).policy_limit, 134217728)
    check_error({}, { NEW_POLICY_PATH = "" }, "NEW_POLICY_PATH is not set")
end

function TestRead.test_proxies_that_are_none()
    for _, value in ipairs({ "10.0.0.0/33", "proxy.example", "10.0.0.1/", "fd00::/129", "10.0.0.1/-1", "10.0.0.0/0008" }) do
        check_error({ policy_path = "/p" }, { GATEWAY_TRUSTED_PROXIES = value },
                    "GATEWAY_TRUSTED_PROXIES must be addresses and networks like \"10.0.0.0/8, fd00::1\", which '" .. value .. "' is not")
    end
    check_error({ policy_path = "/p", trusted_proxies = {} }, nil, "trusted_proxies must be a text like \"10.0.0.0/8, fd00::1\"")
end

function TestRead.test_checks_that_are_none()
    check_error({ policy_path = "/p" }, { GATEWAY_HEALTH_CHECK = '{"type": "icmp", "path": "up"}' },
                'GATEWAY_HEALTH_CHECK must be JSON like {"type": "tcp"}: path: must begin with / and have no blanks; '
                .. "type: 'icmp' is not one of http, tcp")
    check_error({ policy_path = "/p" }, { GATEWAY_HEALTH_CHECK = "tcp" },
                'GATEWAY_HEALTH_CHECK must be JSON like {"type": "tcp"}: could not decode: '
                .. "Expected value but found invalid token at character 1")
    check_error({ policy_path = "/p", eject_seconds = -1 }, nil, "eject_seconds must be 0 or a number of seconds from 0.001 to 3600")
end

function TestRead.test_ports_as_a_table()
    equals(read({ policy_path = "/p", ports = { [8080] = 80 } }).ports, { [8080] = 80 })
end

function TestRead.test_all_problems_are_reported_at_once()
    check_error({ polcy = 1, policy_limit = 0 }, { GATEWAY_WATCH_INTERVAL = "0" },
                "unknown option 'polcy'; NEW_POLICY_PATH is not set; policy_limit must be a whole number of bytes from 1 to 2147483647"
                .. "; GATEWAY_WATCH_INTERVAL must be a number of seconds from 0.001 to 3600")
end

function TestRead.test_a_path_that_is_no_text()
    check_error({ policy_path = 7 }, nil, "policy_path must be a non-empty text")
end

function TestRead.test_limits_that_are_no_number_of_bytes()
    for _, value in ipairs({ "12MB", "1e6", "0x10", "-1", "1.5", " 1", "3000000000" }) do
        check_error({ policy_path = "/p" }, { GATEWAY_POLICY_LIMIT = value },
                    "GATEWAY_POLICY_LIMIT must be a whole number of bytes from 1 to 2147483647")
    end
end

function TestRead.test_intervals_that_are_no_number_of_seconds()
    for _, value in ipairs({ "1s", "nan", "inf", "-1", "4000", "." }) do
        check_error({ policy_path = "/p" }, { GATEWAY_POLICY_INTERVAL = value },
                    "GATEWAY_POLICY_INTERVAL must be a number of seconds from 0.001 to 3600")
    end
end

function TestRead.test_ports_that_are_no_pairs()
    check_error({ policy_path = "/p", ports = 80 }, nil, "ports must be like \"8080=80,8443=443\"")
    for _, value in ipairs({ "80", "80=", "=80", "a=b", "80:80", "80=80=80" }) do
        check_error({ policy_path = "/p" }, { GATEWAY_PORTS = value },
                    "GATEWAY_PORTS must be like \"8080=80,8443=443\"")
    end
    for _, value in ipairs({ "0=80", "80=65536" }) do
        check_error({ policy_path = "/p" }, { GATEWAY_PORTS = value },
                    "GATEWAY_PORTS must be like \"8080=80,8443=443\", with ports from 1 to 65535")
    end
end


local TestConfigure = {}

function TestConfigure.test_wrong_options_are_thrown_with_all_their_problems()
    luaunit.assertErrorMsgContains("gateway: wrong options: unknown option 'x'", options.configure, { x = 1, policy_path = "/p" })
    luaunit.assertErrorMsgContains("the options must be a table", options.configure, "x")
end

function TestConfigure.test_configured_options_are_kept()
    local configured = options.configure({ policy_path = "/p" })
    luaunit.assertIs(options.get(), configured)
end


return { TestRead = TestRead, TestConfigure = TestConfigure }
