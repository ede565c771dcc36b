local cjson = require "cjson"
local content_of = require "content_of"
local digests = require "gateway.digest"
local document = require "gateway.document"
local intakes = require "gateway.intake"
local luaunit = require "luaunit"
local shelf_module = require "gateway.shelf"

local equals = luaunit.assertEquals

local FOLDER = os.getenv("UNIT_FILE"):match("^(.*)/") .. "/../certs/"

local shelf, intake, reports, parsed

local function pause()
end

local function always()
    return true
end

local function read(name)
    local file = assert(io.open(FOLDER .. name))
    local text = file:read("*a")
    file:close()
    return text
end

local function certificate(name, key_name)
    return { cert = read(name .. ".crt"), key = read((key_name or name) .. ".key") }
end

-- An intake over what the shelf has, which notes its reports and counts the rules that it parses.
local function new_intake(subsystem)
    local made = intakes.new(shelf, subsystem or "http", function(line)
        reports[#reports + 1] = line
    end)
    local parse_rule = made.parse_rule
    made.parse_rule = function(text)
        parsed = parsed + 1
        return parse_rule(text)
    end
    return made
end

local function rule(id, fields)
    local object = { rule = id, upstream = "g", internal_dsl = { { "EQ", "URL", "/" .. id } } }
    for name, value in pairs(fields or {}) do
        object[name] = value
    end
    return object
end

local function group(name, fields)
    local object = { name = name, mode = "http", backends = { { address = "10.0.0.1", port = 80, weight = 1 } } }
    for key, value in pairs(fields or {}) do
        object[key] = value
    end
    return object
end

local function take(policy, may_go_on)
    -- cjson takes an empty list for an object.
    local text = cjson.encode(policy):gsub('"80":{}', '"80":[]')
    local content = content_of(text)
    local doc = assert(document.split(content))
    reports = {}
    parsed = 0
    local taken, err = intake:take(doc, pause, may_go_on or always)
    content:release()
    if taken then
        for _, keys in pairs(taken.stale) do
            table.sort(keys)
        end
        intake:tidy(pause)
    end
    return taken, err
end

local function with_rules(...)
    return { http = { tcp = { ["80"] = { ... } } } }
end

-- Ids of the rules in force for a port.
local function ids(key)
    local found = {}
    for i, digest in ipairs(shelf:list(key or "http_tcp_80").members) do
        found[i] = cjson.decode(shelf:body("rule", digest)).rule
    end
    return table.concat(found, " ")
end

local function groups()
    local found = {}
    for i, digest in ipairs(shelf:list("backend_group").members) do
        local object = cjson.decode(shelf:body("group", digest))
        found[i] = object.name .. ":" .. object.mode
    end
    return table.concat(found, " ")
end

local function set_up(dictionary)
    ngx.shared[dictionary]:flush_all()
    ngx.shared[dictionary]:flush_expired()
    shelf = shelf_module.open(dictionary)
    reports, parsed = {}, 0
    intake = new_intake()
end


local TestRules = {}

function TestRules.setUp()
    set_up("policy")
end

function TestRules.test_rules_keep_their_order()
    local taken = take(with_rules(rule "b", rule "a", rule "c"))
    equals(ids(), "b a c")
    equals(taken.stale, { rules = { "http_tcp_80" }, groups = { "backend_group" }, certificates = {} })
    equals(taken.counts, { rules = 3, groups = 0, certificates = 0, left_out = 0, ports = { http_tcp_80 = 3 } })
end

function TestRules.test_the_same_policy_again_changes_and_parses_nothing()
    take(with_rules(rule "a", rule "b"))
    local version = shelf:stamp("http_tcp_80")
    local taken = take(with_rules(rule "a", rule "b"))
    equals({ taken.stale, parsed }, { { rules = {}, groups = {}, certificates = {} }, 0 })
    equals(shelf:stamp("http_tcp_80"), version)
end

function TestRules.test_only_what_changed_is_parsed()
    take(with_rules(rule "a", rule "b", rule "c"))
    take(with_rules(rule "a", rule("b", { vhost = "b.example" }), rule "c"))
    equals({ parsed, ids() }, { 1, "a b c" })
end

function TestRules.test_another_order_is_a_change_but_parses_nothing()
    take(with_rules(rule "a", rule "b"))
    local taken = take(with_rules(rule "b", rule "a"))
    equals({ parsed, ids(), taken.stale.rules }, { 0, "b a", { "http_tcp_80" } })
end

function TestRules.test_only_the_ports_that_changed_are_stale()
    take({ http = { tcp = { ["80"] = { rule "a" }, ["81"] = { rule "b" } } } })
    local taken = take({ http = { tcp = { ["80"] = { rule "a" }, ["81"] = { rule "c" } } } })
    equals(taken.stale, { rules = { "http_tcp_81" }, groups = {}, certificates = {} })
end

function TestRules.test_a_port_that_went_away_has_no_list()
    take({ http = { tcp = { ["80"] = { rule "a" }, ["81"] = { rule "b" } } } })
    local taken = take(with_rules(rule "a"))
    equals({ taken.stale.rules, shelf:text("http_tcp_81"), shelf:stamp("http_tcp_81") }, { { "http_tcp_81" } })
end

function TestRules.test_a_port_without_rules_has_an_empty_list()
    take(with_rules())
    equals(shelf:list("http_tcp_80").members, {})
end

function TestRules.test_versions_of_lists_grow()
    take(with_rules(rule "a"))
    local before = shelf:stamp("http_tcp_80")
    take(with_rules(rule "b"))
    luaunit.assertTrue(shelf:stamp("http_tcp_80") > before)
    equals(shelf:list("http_tcp_80").version, shelf:stamp("http_tcp_80"))
end

function TestRules.test_a_bad_rule_is_left_out_and_reported_once()
    local bad = rule("bad", { internal_dsl = { { "EQUALS", "URL", "/" } } })
    local taken = take(with_rules(rule "a", bad, rule "c"))
    equals({ ids(), taken.counts.left_out, #reports }, { "a c", 1, 1 })
    luaunit.assertStrContains(reports[1], "http tcp port 80: rule 'bad' left out: internal_dsl")
    take(with_rules(rule "a", bad, rule "d"))
    equals({ ids(), reports, parsed }, { "a d", {}, 1 })
end

function TestRules.test_a_bad_rule_that_changes_is_reported_again()
    take(with_rules(rule("bad", { internal_dsl = { { "EQUALS", "URL", "/" } } })))
    take(with_rules(rule("bad", { internal_dsl = { { "EQUALS", "URL", "/x" } } })))
    equals(#reports, 1)
end

function TestRules.test_a_bad_rule_that_was_away_is_reported_when_it_comes_back()
    local bad = rule("bad", { internal_dsl = { { "EQUALS", "URL", "/" } } })
    take(with_rules(bad))
    take(with_rules())
    take(with_rules(bad))
    equals(#reports, 1)
end

function TestRules.test_a_rule_without_an_id_is_reported_by_its_place()
    take(with_rules(rule "a", { upstream = "g", internal_dsl = { { "EQ", "URL", "/" } } }))
    equals(reports, { "http tcp port 80: rule [1] left out: rule: missing" })
end

function TestRules.test_very_many_bad_rules_do_not_flood_the_log()
    local rules = {}
    for i = 1, 1000 do
        rules[i] = rule("r" .. i, { internal_dsl = {} })
    end
    take({ http = { tcp = { ["80"] = rules } } })
    equals({ #reports, reports[101] }, { 101, "900 more members left out or refused" })
end

function TestRules.test_the_same_text_on_two_ports_lies_there_once()
    take({ http = { tcp = { ["80"] = { rule "a" }, ["81"] = { rule "a" } } } })
    equals({ parsed, ids("http_tcp_80"), ids("http_tcp_81") }, { 1, "a", "a" })
end

function TestRules.test_bodies_that_no_list_names_are_buried_and_others_are_not()
    take(with_rules(rule "a", rule "b"))
    local gone = shelf:list("http_tcp_80").members[2]
    take(with_rules(rule "a"))
    local buried = {}
    for name in pairs(shelf.buried) do
        buried[#buried + 1] = name
    end
    equals(buried, { "rule/" .. gone })
end


local TestGroups = {}

function TestGroups.setUp()
    set_up("policy")
end

function TestGroups.test_a_bad_group_leaves_the_one_before_in_force()
    take({ backend_group = { group "a", group "b" } })
    take({ backend_group = { group("a", { mode = "ftp" }), group "b" } })
    equals({ groups(), #reports }, { "a:http b:http", 1 })
    luaunit.assertStrContains(reports[1], "backend_group 'a' refused, the previous one stays in force: mode")
end

function TestGroups.test_a_bad_group_stays_bad_without_another_report()
    local bad = group("a", { mode = "ftp" })
    take({ backend_group = { group "a" } })
    take({ backend_group = { bad } })
    take({ backend_group = { bad, group "b" } })
    equals({ groups(), reports }, { "a:http b:http", {} })
end

function TestGroups.test_a_bad_group_without_one_before_is_left_out()
    take({ backend_group = { group("a", { mode = "ftp" }), group "b" } })
    equals({ groups(), #reports }, { "b:http", 1 })
    luaunit.assertStrContains(reports[1], "backend_group 'a' left out: mode")
end

function TestGroups.test_a_bad_group_is_replaced_by_the_next_good_one()
    take({ backend_group = { group "a" } })
    take({ backend_group = { group("a", { mode = "ftp" }) } })
    take({ backend_group = { group("a", { mode = "https" }) } })
    equals({ groups(), reports }, { "a:https", {} })
end

function TestGroups.test_the_one_before_is_found_by_a_new_process_too()
    take({ backend_group = { group "a" } })
    intake = new_intake()
    take({ backend_group = { group("a", { mode = "ftp" }) } })
    equals({ groups(), #reports }, { "a:http", 1 })
end

function TestGroups.test_a_backend_that_cannot_be_used_is_left_out_and_reported_once()
    local policy = { backend_group = { group("a", { backends = { { port = 80 }, { address = "10.0.0.1", port = 80 } } }) } }
    take(policy)
    equals(reports, { "backend_group 'a': backend left out: backends[0].address: missing" })
    take(policy)
    equals(reports, {})
end

function TestGroups.test_the_first_of_two_groups_of_one_name_counts()
    local policy = { backend_group = { group "a", group("a", { mode = "https" }) } }
    take(policy)
    equals({ groups(), reports }, { "a:http", { "backend_group 'a' [1] left out: another one has this name" } })
    take(policy)
    equals(reports, {})
end

function TestGroups.test_a_bad_group_of_a_name_that_is_taken_is_left_out()
    take({ backend_group = { group "a" } })
    local policy = { backend_group = { group("a", { mode = "https" }), group("a", { mode = 7 }) } }
    take(policy)
    equals({ groups(), reports }, { "a:https", { "backend_group 'a' left out: mode: a number, not a text" } })
    take(policy)
    equals({ groups(), reports }, { "a:https", {} })
end


local TestCertificates = {}

function TestCertificates.setUp()
    set_up("policy")
end

function TestCertificates.test_names_are_kept_in_lower_case_and_in_order()
    take({ certificate_map = {
        ["B.Example"] = certificate "exact", ["a.example"] = certificate "exact", ["443"] = certificate "default",
    } })
    equals(shelf:certificate_names(), { "443", "a.example", "b.example" })
    equals(shelf:stamp("b.example"), digests.of(shelf:text("b.example")))
end

function TestCertificates.test_a_key_that_does_not_match_leaves_the_one_before_in_force()
    take({ certificate_map = { ["a.example"] = certificate "exact" } })
    local before = shelf:text("a.example")
    local bad = { certificate_map = { ["a.example"] = certificate("exact", "default") } }
    local taken = take(bad)
    equals(reports, { "certificate 'a.example' refused, the previous one stays in force: the key does not match the certificate" })
    equals({ shelf:text("a.example"), taken.stale.certificates, taken.counts.certificates }, { before, {}, 1 })
    take(bad)
    equals(reports, {})
end

function TestCertificates.test_a_bad_certificate_without_one_before_is_left_out()
    take({ certificate_map = { ["a.example"] = certificate("exact", "default") } })
    equals(reports, { "certificate 'a.example' left out: the key does not match the certificate" })
    equals({ shelf:text("a.example"), shelf:certificate_names() }, { nil, {} })
end

function TestCertificates.test_a_certificate_that_went_away_is_removed()
    take({ certificate_map = { ["a.example"] = certificate "exact" } })
    local taken = take({})
    equals({ taken.stale.certificates, shelf:text("a.example"), shelf:stamp("a.example") }, { { "a.example" } })
end

function TestCertificates.test_only_the_certificate_that_changed_is_stale()
    take({ certificate_map = { ["a.example"] = certificate "exact", ["b.example"] = certificate "exact" } })
    local taken = take({ certificate_map = { ["a.example"] = certificate "exact", ["b.example"] = certificate "default" } })
    equals(taken.stale, { rules = {}, groups = {}, certificates = { "b.example" } })
end

function TestCertificates.test_names_that_are_none()
    take({
        certificate_map = {
            ["http_tcp_80"] = certificate "exact", ["backend_group"] = certificate "exact", ["rule/x"] = certificate "exact",
        },
        http = { tcp = { ["80"] = { rule "a" } } },
    })
    table.sort(reports)
    equals(reports, {
        "certificate 'backend_group' left out: is not the name of a domain or port",
        "certificate 'http_tcp_80' left out: is not the name of a domain or port",
        "certificate 'rule/x' left out: is not the name of a domain or port",
    })
    equals({ ids(), groups() }, { "a", "" })
end


-- A certificate whose name is written in several ways.
local function of_names(...)
    local certificates = {}
    for _, name in ipairs({ ... }) do
        certificates[name] = certificate "exact"
    end
    return { certificate_map = certificates }
end

function TestCertificates.test_names_that_differ_in_case_alone_are_one_certificate()
    local taken = take(of_names("a.example", "A.example", "A.EXAMPLE"))
    equals({ taken.counts.certificates, taken.counts.left_out, taken.stale.certificates }, { 1, 0, { "a.example" } })
    equals(shelf:certificate_names(), { "a.example" })
end


-- A member that is not in force as the file has it is counted at every reading, also when it was reported long ago.
local TestLeftOut = {}

local BAD_RULE = rule("bad", { internal_dsl = { { "EQUALS", "URL", "/" } } })
local UNUSABLE = { { port = 80 }, { address = "10.0.0.1", port = 80 }, { address = "a.example", port = 80 } }

function TestLeftOut.setUp()
    set_up("policy")
end

-- The number left out of a policy: when it is taken first, again, by a new process, and with another rule beside it.
local function left_out(policy)
    local found = {}
    local function note()
        found[#found + 1] = assert(take(policy)).counts.left_out
    end
    note()
    note()
    intake = new_intake()
    note()
    policy.http = policy.http or with_rules(rule "a").http
    table.insert(policy.http.tcp["80"], rule "another")
    note()
    return found
end

function TestLeftOut.test_nothing_is_left_out_of_a_good_policy()
    equals(left_out({ backend_group = { group "a" }, certificate_map = { ["a.example"] = certificate "exact" } }), { 0, 0, 0, 0 })
end

function TestLeftOut.test_bad_rules()
    equals(left_out(with_rules(rule "a", BAD_RULE, BAD_RULE)), { 2, 2, 2, 2 })
end

function TestLeftOut.test_a_bad_group_without_one_before()
    equals(left_out({ backend_group = { group("a", { mode = "ftp" }), group "b" } }), { 1, 1, 1, 1 })
end

function TestLeftOut.test_a_bad_group_in_whose_place_the_one_before_stays()
    take({ backend_group = { group "a" } })
    equals(left_out({ backend_group = { group("a", { mode = "ftp" }) } }), { 1, 1, 1, 1 })
    equals(groups(), "a:http")
end

function TestLeftOut.test_the_backends_of_the_group_that_stays_are_not_the_files()
    take({ backend_group = { group("a", { backends = UNUSABLE }) } })
    equals(left_out({ backend_group = { group("a", { mode = "ftp" }) } }), { 1, 1, 1, 1 })
end

function TestLeftOut.test_backends()
    equals(left_out({ backend_group = { group("a", { backends = UNUSABLE }), group "b", group("c", { backends = UNUSABLE }) } }),
           { 4, 4, 4, 4 })
end

function TestLeftOut.test_a_backend_that_takes_no_traffic_is_as_the_file_has_it()
    equals(left_out({ backend_group = { group("a", { backends = { { address = "10.0.0.1", port = 80, weight = 0 } } }) } }), { 0, 0, 0, 0 })
end

function TestLeftOut.test_a_second_group_of_one_name_counts_once_whatever_its_backends_are()
    equals(left_out({ backend_group = { group "a", group("a", { backends = UNUSABLE }) } }), { 1, 1, 1, 1 })
end

function TestLeftOut.test_a_bad_certificate_without_one_before()
    equals(left_out({ certificate_map = { ["a.example"] = certificate("exact", "default") } }), { 1, 1, 1, 1 })
end

function TestLeftOut.test_a_bad_certificate_in_whose_place_the_one_before_stays()
    take({ certificate_map = { ["a.example"] = certificate "exact" } })
    equals(left_out({ certificate_map = { ["a.example"] = certificate("exact", "default") } }), { 1, 1, 1, 1 })
    equals(shelf:certificate_names(), { "a.example" })
end

function TestLeftOut.test_all_of_them()
    take({ backend_group = { group "a" }, certificate_map = { ["a.example"] = certificate "exact" } })
    local policy = with_rules(rule "a", BAD_RULE)
    policy.backend_group = { group("a", { mode = "ftp" }), group("b", { backends = UNUSABLE }) }
    policy.certificate_map = { ["a.example"] = certificate("exact", "default"), ["b.example"] = certificate("exact", "default") }
    equals(left_out(policy), { 6, 6, 6, 6 })
end

function TestLeftOut.test_nothing_once_all_is_mended()
    left_out({ backend_group = { group("a", { mode = "ftp" }) }, certificate_map = { ["a.example"] = certificate("exact", "default") } })
    local taken = take({ backend_group = { group "a" }, certificate_map = { ["a.example"] = certificate "exact" } })
    equals({ taken.counts.left_out, reports }, { 0, {} })
end


local TestWhole = {}

function TestWhole.setUp()
    set_up("small")
end

local function big_rules(count, letter)
    local rules = {}
    for i = 1, count do
        rules[i] = rule("r" .. i, { vhost = letter:rep(900) .. ".example" })
    end
    return rules
end

-- Removes what is buried, as the reader does some seconds later.
local function sweep_all()
    for name in pairs(shelf.buried) do
        shelf.buried[name] = 0
    end
    shelf:sweep()
end

function TestWhole.test_a_policy_that_does_not_fit_changes_nothing()
    take(with_rules(rule "a"))
    local keys = ngx.shared.small:get_keys(0)
    local free = ngx.shared.small:free_space()
    local taken, err = take({ http = { tcp = { ["80"] = big_rules(200, "x") } }, backend_group = { group "new" } })
    equals({ taken, err }, { nil, "does not fit into the dictionary 'policy': no memory" })
    sweep_all()
    local after = ngx.shared.small:get_keys(0)
    table.sort(keys)
    table.sort(after)
    equals({ ids(), groups(), after }, { "a", "", keys })
    luaunit.assertAlmostEquals(ngx.shared.small:free_space(), free, 4096)
end

function TestWhole.test_what_a_policy_that_did_not_fit_has_used_is_not_buried_and_what_it_brought_is()
    local gone = digests.of(cjson.encode(rule "a"))
    take(with_rules(rule "a", rule "b"))
    local rules = big_rules(200, "x")
    table.insert(rules, 1, rule "a")
    take({ http = { tcp = { ["80"] = rules } } })
    intake:tidy(pause)
    luaunit.assertNotNil(next(shelf.buried))
    equals({ ids(), shelf.buried["rule/" .. gone] }, { "a b" })
    take(with_rules(rule "b", rule "c"))
    equals({ ids(), parsed, shelf.buried["rule/" .. gone] ~= nil }, { "b c", 1, true })
end

function TestWhole.test_after_a_policy_that_did_not_fit_a_smaller_one_is_taken_in()
    take(with_rules(rule "a"))
    take({ http = { tcp = { ["80"] = big_rules(200, "x") } } })
    luaunit.assertNotNil(take(with_rules(rule "b")))
    equals(ids(), "b")
end

function TestWhole.test_nothing_is_put_in_force_when_another_process_took_over()
    take(with_rules(rule "a"))
    local rules = {}
    for i = 1, 40 do
        rules[i] = rule("r" .. i)
    end
    local taken, err = take({ http = { tcp = { ["80"] = rules } } }, function() return false end)
    equals({ taken, err, ids() }, { nil, "another process reads the policy now", "a" })
    sweep_all()
    equals(#ngx.shared.small:get_keys(0), #{ "list", "stamp", "groups", "stamp", "names", "stamp", "ports", "stamp", "rule" })
end

function TestWhole.test_a_new_process_knows_what_is_in_force()
    take(with_rules(rule "a", rule "b"))
    intake = new_intake()
    local taken = take(with_rules(rule "a", rule "b"))
    equals({ taken.stale, parsed }, { { rules = {}, groups = {}, certificates = {} }, 0 })
end

function TestWhole.test_a_new_process_mends_what_a_killed_one_left_undone()
    take(with_rules(rule "a"))
    local version = shelf:stamp("http_tcp_80")
    ngx.shared.small:set("stamp/http_tcp_80", version - 1)
    intake = new_intake()
    local taken = take(with_rules(rule "a"))
    equals(taken.stale.rules, { "http_tcp_80" })
    equals(shelf:stamp("http_tcp_80"), shelf:list("http_tcp_80").version)
    luaunit.assertTrue(shelf:stamp("http_tcp_80") > version)
end

function TestWhole.test_a_new_process_removes_bodies_that_a_killed_one_left_behind()
    take(with_rules(rule "a"))
    shelf:put_body("rule", "orphan", "{}")
    intake = new_intake()
    take(with_rules(rule "a"))
    luaunit.assertNotNil(shelf.buried["rule/orphan"])
end

function TestWhole.test_stream_takes_its_own_rules_and_no_certificates()
    intake = new_intake("stream")
    local taken = take({
        stream = { tcp = { ["53"] = { { rule = "t", upstream = "g" } } }, udp = { ["53"] = { { rule = "u", upstream = "g" } } } },
        http = { tcp = { ["80"] = { rule "a" } } },
        certificate_map = { ["a.example"] = certificate "exact" },
    })
    equals({ ids("stream_tcp_53"), ids("stream_udp_53"), shelf:text("http_tcp_80"), shelf:text("a.example") }, { "t", "u" })
    equals(taken.counts.ports, { stream_tcp_53 = 1, stream_udp_53 = 1 })
end


return {
    TestRules = TestRules, TestGroups = TestGroups, TestCertificates = TestCertificates, TestLeftOut = TestLeftOut, TestWhole = TestWhole,
}
