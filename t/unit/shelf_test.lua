local luaunit = require "luaunit"
local shelf_module = require "gateway.shelf"

local equals = luaunit.assertEquals

local SMALL = "small"

local function pause()
end

-- An empty shelf.
local function new_shelf(name)
    local dict = ngx.shared[name or "policy"]
    dict:flush_all()
    dict:flush_expired()
    return shelf_module.open(name), dict
end

local function list_text(key, version, digests)
    local members = #digests > 0 and '"' .. table.concat(digests, '","') .. '"' or ""
    return ('{"key":"%s","version":%d,"members":[%s]}'):format(key, version, members)
end

local function stage_list(shelf, key, version, digests)
    return shelf:stage(key, list_text(key, version, digests), version)
end


local TestNames = {}

function TestNames.test_the_key_of_a_ports_rules()
    equals(shelf_module.list_key("stream", "udp", 53), "stream_udp_53")
end

function TestNames.test_names_that_would_stand_in_the_way()
    for _, name in ipairs({ "backend_group", "http_tcp_80", "stream_udp_53", "rule/x", "/state", "stamp/a" }) do
        luaunit.assertTrue(shelf_module.is_reserved(name), name)
    end
    for _, name in ipairs({ "a.example", "*.a.example", "443", "my_host", "http_tcp_80.example" }) do
        luaunit.assertFalse(shelf_module.is_reserved(name), name)
    end
end

function TestNames.test_a_dictionary_that_nginx_does_not_have()
    luaunit.assertErrorMsgContains("no lua_shared_dict 'nowhere'", shelf_module.open, "nowhere")
end


local TestCommit = {}

function TestCommit.test_nothing_is_seen_before_the_commit()
    local shelf = new_shelf()
    assert(stage_list(shelf, "http_tcp_80", 1, { "d" }))
    equals({ shelf:text("http_tcp_80"), shelf:stamp("http_tcp_80") }, {})
end

function TestCommit.test_text_and_stamp_are_there_after_the_commit()
    local shelf = new_shelf()
    assert(stage_list(shelf, "http_tcp_80", 3, { "d", "e" }))
    assert(shelf:commit())
    equals(shelf:list("http_tcp_80"), { key = "http_tcp_80", version = 3, members = { "d", "e" } })
    equals(shelf:stamp("http_tcp_80"), 3)
end

function TestCommit.test_a_commit_leaves_nothing_staged()
    local shelf, dict = new_shelf()
    assert(stage_list(shelf, "http_tcp_80", 3, {}))
    assert(shelf:commit())
    local keys = dict:get_keys(0)
    table.sort(keys)
    equals(keys, { "http_tcp_80", "stamp/http_tcp_80" })
end

function TestCommit.test_what_was_abandoned_is_gone()
    local shelf, dict = new_shelf()
    assert(stage_list(shelf, "http_tcp_80", 3, {}))
    shelf:abandon()
    equals(dict:get_keys(0), {})
    assert(shelf:commit())
    equals(dict:get_keys(0), {})
end

function TestCommit.test_a_full_dictionary_keeps_what_it_had()
    local shelf = new_shelf(SMALL)
    local old = ("x"):rep(30000)
    assert(shelf:stage("a.example", old, "old"))
    assert(shelf:commit())
    equals({ shelf:stage("a.example", ("y"):rep(65000), "new") }, { nil, "no memory" })
    shelf:abandon()
    equals({ shelf:text("a.example") == old, shelf:stamp("a.example") }, { true, "old" })
end

function TestCommit.test_what_was_staged_fits_even_if_nothing_else_does()
    local shelf, dict = new_shelf(SMALL)
    assert(shelf:stage("a.example", ("x"):rep(30000), "1"))
    assert(shelf:commit())
    local new = ("y"):rep(31000)
    assert(shelf:stage("a.example", new, "2"))
    local filled = 0
    while dict:safe_set("filler" .. filled, ("z"):rep(1000)) do
        filled = filled + 1
    end
    luaunit.assertTrue(filled > 0)
    assert(shelf:commit())
    equals({ shelf:text("a.example") == new, shelf:stamp("a.example") }, { true, "2" })
end

-- Stages so many certificates; returns whether all of them fit.
local function stage_many(shelf, count)
    for i = 1, count do
        if not shelf:stage(i .. ".example", '{"cert":"c"}', "digest-of-22-characters") then
            return false
        end
    end
    return true
end

function TestCommit.test_stamps_of_many_certificates_have_room()
    local shelf, dict = new_shelf(SMALL)
    local filled = 0
    while dict:safe_set("filler" .. filled, ("z"):rep(1000)) do
        filled = filled + 1
    end
    -- With a little more room each time, until they fit.
    while not stage_many(shelf, 150) do
        shelf:abandon()
        filled = filled - 1
        dict:delete("filler" .. filled)
    end
    luaunit.assertTrue(filled > 0)
    equals({ shelf:commit() }, { true })
    equals(shelf:stamp("150.example"), "digest-of-22-characters")
end

function TestCommit.test_policies_are_counted()
    local shelf = new_shelf()
    equals({ shelf:generation(), shelf:count(), shelf:count(), shelf:generation() }, { nil, 1, 2, 2 })
end

function TestCommit.test_a_removed_key_has_no_stamp()
    local shelf, dict = new_shelf()
    assert(shelf:stage("a.example", "{}", "s"))
    assert(shelf:commit())
    shelf:remove("a.example")
    equals(dict:get_keys(0), {})
end


local TestBodies = {}

function TestBodies.test_a_body_is_put_once()
    local shelf = new_shelf()
    equals({ shelf:put_body("rule", "d", "{}") }, { true })
    equals({ shelf:put_body("rule", "d", "{}") }, { false })
    equals({ shelf:body("rule", "d"), shelf:body("group", "d") }, { "{}" })
end

function TestBodies.test_a_buried_body_stays_for_a_while()
    local shelf = new_shelf()
    shelf:put_body("rule", "d", "{}")
    shelf:bury("rule/d")
    equals({ shelf:sweep(pause), shelf:body("rule", "d") }, { 0, "{}" })
end

function TestBodies.test_a_body_that_was_buried_long_ago_is_swept_away()
    local shelf = new_shelf()
    shelf:put_body("rule", "d", "{}")
    shelf:bury("rule/d")
    shelf.buried["rule/d"] = ngx.now() - 11
    equals({ shelf:sweep(pause), shelf:body("rule", "d") }, { 1 })
end

function TestBodies.test_a_body_that_is_put_again_is_not_swept_away()
    local shelf = new_shelf()
    shelf:put_body("rule", "d", "{}")
    shelf:bury("rule/d")
    shelf.buried["rule/d"] = ngx.now() - 11
    shelf:put_body("rule", "d", "{}")
    equals({ shelf:sweep(pause), shelf:body("rule", "d") }, { 0, "{}" })
end

function TestBodies.test_the_buried_make_room_when_the_dictionary_is_full()
    local shelf = new_shelf(SMALL)
    local count = 0
    while shelf:put_body("rule", "d" .. count, ("x"):rep(3000)) do
        count = count + 1
    end
    luaunit.assertTrue(count > 2)
    equals({ shelf:put_body("rule", "new", ("x"):rep(3000)) }, { nil, "no memory" })
    shelf:bury("rule/d0")
    shelf:bury("rule/d1")
    equals({ shelf:put_body("rule", "new", ("x"):rep(3000)) }, { true })
    equals({ shelf:body("rule", "d0"), shelf:body("rule", "d2") == nil }, { nil, false })
end


local TestState = {}

function TestState.test_a_shelf_is_settled_once_the_reader_has_said_something()
    local shelf = new_shelf()
    equals({ shelf:is_settled(), shelf:state() }, { false })
    assert(shelf:save_state({ path = "/p", refused = 2 }))
    equals({ shelf:is_settled(), shelf:state() }, { true, { path = "/p", refused = 2 } })
end

function TestState.test_one_process_at_a_time_writes()
    local shelf = new_shelf()
    shelf:claim(10)
    equals({ shelf:is_claimed_by(10), shelf:is_claimed_by(11) }, { true, false })
    shelf:claim(11)
    equals({ shelf:is_claimed_by(10), shelf:is_claimed_by(11) }, { false, true })
end

function TestState.test_names_of_certificates_are_none_before_the_first_policy()
    equals(new_shelf():certificate_names(), {})
end

function TestState.test_the_inventory_tells_what_lies_here_and_clears_what_was_staged()
    local shelf, dict = new_shelf()
    shelf:put_body("rule", "r", "{}")
    shelf:put_body("group", "g", "{}")
    stage_list(shelf, "http_tcp_80", 1, { "r" })
    stage_list(shelf, "backend_group", 1, { "g" })
    shelf:stage("a.example", "{}", "digest")
    shelf:stage(shelf_module.NAMES, '["a.example"]', 0)
    shelf:commit()
    shelf:save_state({})
    shelf:count()
    dict:set("staged/b.example", "left by a process that was killed")
    equals(shelf_module.open():inventory(), {
        lists = { http_tcp_80 = true, backend_group = true },
        certificates = { ["a.example"] = "digest" },
        bodies = { rule = { r = true }, group = { g = true } },
    })
    equals(dict:get("staged/b.example"), nil)
end


return { TestNames = TestNames, TestCommit = TestCommit, TestBodies = TestBodies, TestState = TestState }
