local luaunit = require "luaunit"

local equals = luaunit.assertEquals

-- The groups in force, in the place of the caches, which need workers and events.
local in_force
require("gateway.caches").groups = function()
    return in_force, nil, 1
end

local balancers = require "gateway.balancers"

local serial = 0

-- A Group as gateway.group makes it, with peers of these weights called 10.0.0.1, 10.0.0.2, ...
local function new_group(weights, fields)
    serial = serial + 1
    local group = { name = "g", mode = "http", peers = {}, problems = {} }
    for i, weight in ipairs(weights) do
        local address = "10.0.0." .. i
        group.peers[i] = { id = address .. ":80", address = address, port = 80, weight = weight }
    end
    for name, value in pairs(fields or {}) do
        group[name] = value
    end
    return group
end

local function put_in_force(...)
    in_force = { list = { ... }, by_name = {}, stamp = serial }
    for _, group in ipairs(in_force.list) do
        in_force.by_name[group.name] = group
    end
end

-- The balancer of one group that is put in force.
local function balancer_of(weights, fields)
    put_in_force(new_group(weights, fields))
    return assert(balancers.find("g"))
end

-- A request from this address with these headers and cookies.
local function new_context(address, headers, cookies)
    return {
        request = {
            source = function() return address end,
            header = function(_, name) return headers and headers[name] end,
            cookie = function(_, name) return cookies and cookies[name] end,
        },
    }
end

-- How often each peer is picked by `count` contexts.
local function tally(balancer, count, context_of)
    local counts = {}
    for i = 1, count do
        local peer = balancer:pick(context_of and context_of(i) or new_context("192.0.2.1"))
        counts[peer.address] = (counts[peer.address] or 0) + 1
    end
    return counts
end


local TestFind = {}

function TestFind.test_a_group_that_does_not_exist()
    put_in_force(new_group({ 1 }))
    equals({ balancers.find("other") }, { nil, nil, 1 })
end

function TestFind.test_before_the_first_policy_there_is_no_balancer()
    in_force = nil
    equals({ balancers.find("g") }, { nil, nil, 1 })
end

function TestFind.test_a_balancer_tells_its_groups_name_mode_and_number_of_peers()
    local balancer = balancer_of({ 1, 1, 1 }, { mode = "grpc" })
    equals({ balancer.name, balancer.mode, balancer.peer_count }, { "g", "grpc", 3 })
end

function TestFind.test_a_group_that_did_not_change_keeps_its_balancer()
    local group = new_group({ 1, 1 })
    put_in_force(group)
    local before = balancers.find("g")
    put_in_force(group, new_group({ 1 }, { name = "other" }))
    luaunit.assertIs(balancers.find("g"), before)
end

function TestFind.test_a_group_that_changed_gets_another_balancer()
    local before = balancer_of({ 1 })
    luaunit.assertNotIs(balancer_of({ 1, 1 }), before)
end

function TestFind.test_a_group_that_vanished_has_no_balancer()
    balancer_of({ 1 })
    put_in_force(new_group({ 1 }, { name = "other" }))
    equals({ balancers.find("g") }, { nil, nil, 1 })
end

function TestFind.test_a_refresh_throws_away_what_vanished()
    local kept = setmetatable({}, { __mode = "v" })
    kept[1] = balancer_of({ 1 })
    put_in_force(new_group({ 1 }, { name = "other" }))
    balancers.refresh()
    collectgarbage()
    collectgarbage()
    equals(kept[1], nil)
end


local TestRoundRobin = {}

function TestRoundRobin.test_a_group_without_peers_gives_none()
    local balancer, context = balancer_of({}), new_context("192.0.2.1")
    equals({ balancer:pick(context), balancer:pick_other(context), context.peer }, {})
end

function TestRoundRobin.test_the_only_peer_is_picked_again_for_a_retry()
    local balancer, context = balancer_of({ 5 }), new_context("192.0.2.1")
    local peer = balancer:pick(context)
    equals({ peer.id, context.peer.id, balancer:pick_other(context).id }, { "10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:80" })
end

function TestRoundRobin.test_weights_are_kept_exactly_over_a_round()
    equals(tally(balancer_of({ 1, 2, 7 }), 10), { ["10.0.0.1"] = 1, ["10.0.0.2"] = 2, ["10.0.0.3"] = 7 })
end

function TestRoundRobin.test_a_common_divisor_makes_no_long_round()
    equals(tally(balancer_of({ 100, 200 }), 3), { ["10.0.0.1"] = 1, ["10.0.0.2"] = 2 })
end

function TestRoundRobin.test_a_retry_gets_another_peer()
    for _, weights in ipairs({ { 1, 1 }, { 1, 1000 }, { 1000000, 1, 1 } }) do
        local balancer = balancer_of(weights)
        for _ = 1, 50 do
            local context = new_context("192.0.2.1")
            local first = balancer:pick(context)
            local second = balancer:pick_other(context)
            luaunit.assertNotIs(second, first)
            luaunit.assertIs(context.peer, second)
        end
    end
end

function TestRoundRobin.test_peers_of_weight_0_take_nothing()
    equals(tally(balancer_of({ 0, 1 }), 4), { ["10.0.0.2"] = 4 })
end


local TestConsistentHash = {}

function TestConsistentHash.test_one_address_always_goes_to_one_peer()
    local balancer = balancer_of({ 1, 1, 1 }, { affinity = "sip-hash" })
    for i = 1, 20 do
        local address = "192.0.2." .. i
        local counts = tally(balancer, 5, function() return new_context(address) end)
        local _, count = next(counts)
        equals(count, 5)
    end
end

function TestConsistentHash.test_many_addresses_go_to_all_peers_by_weight()
    local counts = tally(balancer_of({ 1, 3 }, { affinity = "sip-hash" }), 4000, function(i)
        return new_context("192.0." .. math.floor(i / 250) .. "." .. i % 250)
    end)
    luaunit.assertAlmostEquals(counts["10.0.0.1"], 1000, 400)
end

function TestConsistentHash.test_few_clients_move_when_a_peer_comes()
    local before = balancer_of({ 1, 1, 1, 1 }, { affinity = "sip-hash" })
    local after = balancer_of({ 1, 1, 1, 1, 1 }, { affinity = "sip-hash" })
    local moved = 0
    for i = 1, 1000 do
        local address = "198.51." .. math.floor(i / 250) .. "." .. i % 250
        if before:pick(new_context(address)).id ~= after:pick(new_context(address)).id then
            moved = moved + 1
        end
    end
    luaunit.assertTrue(moved > 50 and moved < 400, moved .. " of 1000 moved")
end

function TestConsistentHash.test_a_retry_goes_to_another_peer_and_always_to_the_same()
    local balancer = balancer_of({ 1, 1, 1 }, { affinity = "sip-hash" })
    for i = 1, 50 do
        local context, again = new_context("192.0.2." .. i), new_context("192.0.2." .. i)
        local first = balancer:pick(context)
        local second = balancer:pick_other(context)
        luaunit.assertNotIs(second, first)
        balancer:pick(again)
        luaunit.assertIs(balancer:pick_other(again), second)
    end
end

function TestConsistentHash.test_the_only_peer_and_none()
    local balancer, context = balancer_of({ 1 }, { affinity = "sip-hash" }), new_context("192.0.2.1")
    equals({ balancer:pick(context).id, balancer:pick_other(context).id }, { "10.0.0.1:80", "10.0.0.1:80" })
    equals({ balancer_of({}, { affinity = "sip-hash" }):pick(new_context("192.0.2.1")) }, {})
end

function TestConsistentHash.test_very_different_weights_make_no_huge_ring()
    local began = os.clock()
    local balancer = balancer_of({ 1, 999999 }, { affinity = "sip-hash" })
    luaunit.assertNotNil(balancer:pick(new_context("192.0.2.1")))
    luaunit.assertTrue(os.clock() - began < 1)
end

function TestConsistentHash.test_many_peers_make_no_huge_ring_either()
    local weights = {}
    for i = 1, 1100 do
        weights[i] = 50 + i % 50
    end
    local balancer = balancer_of(weights, { affinity = "sip-hash" })
    assert(balancer:pick(new_context("192.0.2.1")))
    luaunit.assertTrue(balancer.points < 2 ^ 21)
end


local TestSticky = {}

function TestSticky.test_who_comes_without_the_cookie_is_given_one()
    local balancer = balancer_of({ 1, 1 }, { affinity = "cookie", attribute = "SID" })
    local context = new_context("192.0.2.1")
    local peer = balancer:pick(context)
    equals({ context.set_cookie.name, context.set_cookie.value:find("^%x+$"), #context.set_cookie.value }, { "SID", 1, 32 })
    local next_context = new_context("198.51.100.9", nil, { SID = context.set_cookie.value })
    luaunit.assertIs(balancer:pick(next_context), peer)
    equals(next_context.set_cookie, nil)
end

function TestSticky.test_given_cookies_differ_and_reach_all_peers()
    local seen = {}
    local counts = tally(balancer_of({ 1, 1 }, { affinity = "cookie" }), 200, function(i)
        seen[i] = new_context("192.0.2.1")
        return seen[i]
    end)
    luaunit.assertTrue(counts["10.0.0.1"] > 40 and counts["10.0.0.2"] > 40)
    luaunit.assertNotEquals(seen[1].set_cookie.value, seen[2].set_cookie.value)
end

function TestSticky.test_the_cookies_default_name()
    local context = new_context("192.0.2.1")
    balancer_of({ 1, 1 }, { affinity = "cookie" }):pick(context)
    equals(context.set_cookie.name, "JSESSIONID")
end

function TestSticky.test_an_empty_cookie_counts_as_none()
    local context = new_context("192.0.2.1", nil, { JSESSIONID = "" })
    balancer_of({ 1, 1 }, { affinity = "cookie" }):pick(context)
    luaunit.assertNotNil(context.set_cookie)
end

function TestSticky.test_a_header_leads_to_one_peer_whatever_the_address()
    local balancer = balancer_of({ 1, 1, 1 }, { affinity = "header", attribute = "X-User" })
    local counts = tally(balancer, 20, function(i)
        return new_context("192.0.2." .. i, { ["X-User"] = "ann" })
    end)
    local _, count = next(counts)
    equals(count, 20)
end

function TestSticky.test_without_the_header_peers_take_turns()
    equals(tally(balancer_of({ 1, 1 }, { affinity = "header", attribute = "X-User" }), 10), { ["10.0.0.1"] = 5, ["10.0.0.2"] = 5 })
end

function TestSticky.test_a_retry_gets_another_peer_and_leaves_the_cookie()
    local balancer = balancer_of({ 1, 1 }, { affinity = "cookie" })
    local context = new_context("192.0.2.1", nil, { JSESSIONID = "abc" })
    local first = balancer:pick(context)
    luaunit.assertNotIs(balancer:pick_other(context), first)
    equals(context.set_cookie, nil)
end

function TestSticky.test_a_group_without_peers_gives_none()
    equals({ balancer_of({}, { affinity = "cookie" }):pick(new_context("192.0.2.1")) }, {})
end


return { TestFind = TestFind, TestRoundRobin = TestRoundRobin, TestConsistentHash = TestConsistentHash, TestSticky = TestSticky }
