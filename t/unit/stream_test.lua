-- Layer 4 against the interface of the stream Lua module as its documentation has it: nginx without that module cannot run these
-- phases, so that their files are loaded here with that interface (`ngx`, `ngx.balancer`) and a policy in place of the caches.

local luaunit = require "luaunit"
local stream_request = require "gateway.stream.request"

local equals = luaunit.assertEquals

-- The events of a run: log lines, peers handed to nginx, how the phase ended.
local seen

local function new_ngx(variables)
    return {
        ERR = "err", WARN = "warn", ERROR = "error",
        config = { subsystem = "stream" },
        var = variables,
        ctx = {},
        log = function(level, ...)
            seen.log = level .. ": " .. table.concat({ ... })
        end,
        exit = function(code)
            seen.exit = code
        end,
    }
end

-- A file of the gateway, loaded with other modules than the real ones.
local function load_with(fake_ngx, name, modules)
    local chunk = assert(loadfile(assert(package.searchpath(name, package.path))))
    local environment = {
        ngx = fake_ngx,
        require = function(wanted)
            return modules[wanted] or require(wanted)
        end,
    }
    return setfenv(chunk, setmetatable(environment, { __index = _G }))()
end

local PEERS = {
    { id = "10.0.0.1:5432", address = "10.0.0.1", port = 5432 },
    { id = "10.0.0.2:5432", address = "10.0.0.2", port = 5432 },
}

local function balancer_of(peers)
    return {
        name = "db",
        peer_count = #peers,
        pick = function(_, context)
            seen.source = context.request:source()
            context.peer = peers[1]
            return peers[1]
        end,
        pick_other = function()
            return peers[2]
        end,
    }
end

-- The preread phase for a connection to a listener, with these rules (by key) and groups (by name).
local function preread(variables, rules, groups)
    seen = {}
    local fake_ngx = new_ngx(variables)
    local route = load_with(fake_ngx, "gateway.stream.route", {
        ["gateway.caches"] = {
            update = function()
                seen.updated = true
            end,
            rules = function(key)
                local list = rules[key]
                if type(list) == "string" then
                    return nil, list
                end
                return list and { find = function() return list[1] end }
            end,
        },
        ["gateway.balancers"] = { find = function(name) return groups[name] end },
        ["gateway.options"] = { get = function() return { ports = { [15432] = 5432 } } end },
    })
    route.run()
    return fake_ngx.ctx
end

local function variables(fields)
    local all = { protocol = "TCP", server_port = "5432", remote_addr = "192.0.2.7" }
    for name, value in pairs(fields or {}) do
        all[name] = value
    end
    return all
end

local RULE = { id = "db-rule", upstream = "db" }


local TestPreread = {}

function TestPreread.test_the_first_rule_of_the_port_takes_the_connection()
    local context = preread(variables(), { stream_tcp_5432 = { RULE, { id = "second" } } }, { db = balancer_of(PEERS) })
    equals({ context.rule, context.peer, seen.source, seen.updated, seen.log }, { RULE, PEERS[1], "192.0.2.7", true, nil })
end

function TestPreread.test_udp_has_rules_of_its_own()
    local rules = { stream_tcp_53 = { { id = "tcp", upstream = "none" } }, stream_udp_53 = { RULE } }
    local context = preread(variables({ protocol = "UDP", server_port = "53" }), rules, { db = balancer_of(PEERS) })
    equals(context.rule, RULE)
end

function TestPreread.test_a_listener_may_take_the_rules_of_another_port()
    local context = preread(variables({ server_port = "15432" }), { stream_tcp_5432 = { RULE } }, { db = balancer_of(PEERS) })
    equals(context.rule, RULE)
end

function TestPreread.test_the_rule_is_told_to_the_access_log()
    local all = variables()
    preread(all, { stream_tcp_5432 = { RULE } }, { db = balancer_of(PEERS) })
    equals(all.gateway_rule, "db-rule")
end

function TestPreread.test_a_port_without_rules_closes_the_connection()
    local context = preread(variables(), {}, {})
    equals({ context, seen.exit, seen.log }, { {}, "error", "warn: no backend for stream_tcp_5432: the port has no rules" })
    preread(variables(), { stream_tcp_5432 = {} }, {})
    equals({ seen.exit, seen.log }, { "error", "warn: no backend for stream_tcp_5432: the port has no rules" })
end

function TestPreread.test_a_cache_that_fails_closes_the_connection()
    preread(variables(), { stream_tcp_5432 = "no memory" }, {})
    equals({ seen.exit, seen.log }, { "error", "err: no backend for stream_tcp_5432: no memory" })
end

function TestPreread.test_an_unknown_group_closes_the_connection()
    preread(variables(), { stream_tcp_5432 = { RULE } }, {})
    equals({ seen.exit, seen.log }, { "error", "warn: no backend for stream_tcp_5432: there is no backend group 'db'" })
end

function TestPreread.test_a_group_without_backends_closes_the_connection()
    local context = preread(variables(), { stream_tcp_5432 = { RULE } }, { db = balancer_of({}) })
    equals({ context, seen.exit, seen.log }, { {}, "error", "warn: no backend for stream_tcp_5432: backend group 'db' has no backend" })
end


-- The balancer phase, as often as nginx would call it; `answers` are what set_current_peer returns.
local function balance(context, times, answer, variables_of_nginx)
    seen = { peers = {}, more = 0 }
    local fake_ngx = new_ngx(variables_of_nginx or {})
    fake_ngx.ctx = context
    local attempt = load_with(fake_ngx, "gateway.attempt", {
        ["gateway.health"] = {
            eject = function(group, peer)
                seen.ejected = group .. " " .. peer.id
            end,
        },
        ["ngx.balancer"] = {
            set_current_peer = function(address, port)
                seen.peers[#seen.peers + 1] = address .. " " .. port
                if answer then
                    return nil, answer
                end
                return true
            end,
            set_more_tries = function(count)
                seen.more = seen.more + count
                return true
            end,
            set_timeouts = function(connect, send, read)
                seen.timeouts = { connect, send, read }
                return true
            end,
        },
    })
    local stream = load_with(fake_ngx, "gateway.stream", { ["gateway.attempt"] = attempt, ["gateway.stream.route"] = {} })
    for _ = 1, times do
        stream.balance()
    end
end


local TestBalance = {}

function TestBalance.test_the_peer_of_the_preread_phase_first_then_another_one()
    balance({ rule = RULE, balancer = balancer_of(PEERS), peer = PEERS[1] }, 2)
    equals({ seen.peers, seen.more, seen.timeouts }, { { "10.0.0.1 5432", "10.0.0.2 5432" }, 1, nil })
end

function TestBalance.test_a_peer_that_was_sent_nothing_is_passed_over()
    balance({ rule = RULE, balancer = balancer_of(PEERS), peer = PEERS[1] }, 2, nil, { upstream_bytes_sent = "0, 0" })
    equals(seen.ejected, "db 10.0.0.1:5432")
    balance({ rule = RULE, balancer = balancer_of(PEERS), peer = PEERS[1] }, 2, nil, { upstream_bytes_sent = "10, 0" })
    equals(seen.ejected, nil)
end

function TestBalance.test_an_only_peer_is_not_tried_again()
    balance({ rule = RULE, balancer = balancer_of({ PEERS[1] }), peer = PEERS[1] }, 1)
    equals({ seen.peers, seen.more }, { { "10.0.0.1 5432" }, 0 })
end

function TestBalance.test_the_timeouts_are_those_of_the_rule()
    local rule = { id = "r", upstream = "db", timeouts = { connect = 1, read = 3 } }
    balance({ rule = rule, balancer = balancer_of(PEERS), peer = PEERS[1] }, 1)
    equals(seen.timeouts, { 1, nil, 3 })
end

function TestBalance.test_a_peer_that_nginx_refuses_ends_the_connection()
    balance({ rule = RULE, balancer = balancer_of(PEERS), peer = PEERS[1] }, 1, "no memory")
    equals({ seen.exit, seen.log }, { "error", "err: could not hand a connection to a backend: could not choose 10.0.0.1:5432: no memory" })
end

function TestBalance.test_a_connection_that_no_preread_phase_saw_is_ended()
    balance({}, 1)
    equals({ seen.exit, #seen.peers }, { "error", 0 })
end


local TestRequest = {}

function TestRequest.test_only_the_address_is_known()
    local request = stream_request.new("192.0.2.7")
    equals({ request:source(), request:header("x"), request:cookie("y") }, { "192.0.2.7" })
end


return { TestPreread = TestPreread, TestBalance = TestBalance, TestRequest = TestRequest }
