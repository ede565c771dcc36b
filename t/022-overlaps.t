# A change meets readers: one of them makes the new value, others are served by the one before, and a late writer leaves none.
#
# policy_interval is 60, so that no worker compares within the test what it holds: only events can have told it.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

each_block(worker_count => 2, ask_workers => '', options => 'policy_interval = 60');

run_tests();

__DATA__

=== TEST 1: a policy with the same content leaves everything in level 1
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- lua
local workers = require("testing.workers").connect(2)
workers:ask_all("rules/http_tcp_80")
local text = testing.read(testing.path("policy.json"))
testing.replace_policy(text .. "\n")
ngx.say(testing.wait_until(function() return testing.generation() == 2 end, 3))
ngx.say(workers:ask_all("rules/http_tcp_80"))
--- response_body
true
1 a; 1 a
--- no_error_log
[error]



=== TEST 2: the absence of a port costs level 3 once for all workers, and rules that it gets afterwards once more
--- policy
{"http": {"tcp": {"80": []}}}
--- policy_2
{"http": {"tcp": {"81": [{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]}}}
--- lua
local workers = require("testing.workers").connect(2)
workers:ask_all("rules/http_tcp_80")
ngx.say(workers:ask_all("rules/http_tcp_81"))
testing.use(2)
ngx.say(workers:ask_all("rules/http_tcp_81"))
assert(workers:wait_for("rules/http_tcp_80", "nil", 2))
ngx.say(workers:ask_all("rules/http_tcp_80"))
--- response_body
3 nil; 2 nil
3 a; 2 a
1 nil; 1 nil
--- no_error_log
[error]



=== TEST 3: four workers that ask at the same time read level 3 once
--- worker_count: 4
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- lua
local workers = require("testing.workers").connect(4)
ngx.say(workers:ask_at_once("rules/http_tcp_80"))
ngx.say(workers:ask_at_once("rules/http_tcp_80"))
--- response_body
2 a; 2 a; 2 a; 3 a
1 a; 1 a; 1 a; 1 a
--- no_error_log
[error]



=== TEST 4: while a worker makes the index of a large policy, its other requests are served by the one before
--- worker_count: 1
--- rules
[{"rule": "old", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- lua
local workers = require("testing.workers").connect(1)
local others = workers:again(0)
workers:ask(0, "rules/http_tcp_80")
local rules = {}
for i = 1, 20000 do
    rules[i] = ('{"rule":"r%d","upstream":"one","internal_dsl":[["EQ","URL","/%d"]]}'):format(i, i)
end
testing.replace_policy('{"http":{"tcp":{"80":[' .. table.concat(rules, ",") .. ']}}}')
assert(testing.wait_until(function() return testing.generation() == 2 end, 5))
-- This request makes the index, or the worker's own timer was earlier; the cache's lock is held meanwhile.
local first = ngx.thread.spawn(workers.ask, workers, 0, "rules/http_tcp_80")
assert(testing.wait_until(function() return #ngx.shared.locks:get_keys(0) > 0 end, 5), "no index is made")
ngx.say(others:ask(0, "rules/http_tcp_80"))
local _, answer = ngx.thread.wait(first)
ngx.say(answer:find("^3 r1 r2 r3 ") or answer == "4 old" and 1)
ngx.say(testing.wait_until(function() return others:ask(0, "rules/http_tcp_80"):find("^1 r1 r2 r3 ") end, 2))
--- response_body
4 old
1
true
--- no_error_log
[error]



=== TEST 5: twenty changes one after the other reach all of four workers, each in time
--- worker_count: 4
--- lua
local workers = require("testing.workers").connect(4)
workers:ask_all("rules/http_tcp_80")
for i = 1, 20 do
    testing.replace_policy(([=[{"http": {"tcp": {"80": [
        {"rule": "r%d", "upstream": "one", "internal_dsl": [["EQ", "URL", "/"]]}]}}}]=]):format(i))
    local seconds, err = workers:wait_for("rules/http_tcp_80", "r" .. i, 5)
    if not seconds or seconds > 1.2 then
        ngx.say("change ", i, ": ", err or seconds)
    end
end
ngx.say("done")
--- response_body
done
--- timeout: 30
--- no_error_log
[error]



=== TEST 6: two hundred certificates that change at once reach all workers
--- lua
local cjson = require "cjson"
local workers = require("testing.workers").connect(2)
local folder = "$TEST_NGINX_CERTS/"
local function use(name)
    local generation = testing.generation()
    local map = {}
    for i = 1, 200 do
        map[i .. ".example"] = { cert = testing.read(folder .. name .. ".crt"), key = testing.read(folder .. name .. ".key") }
    end
    testing.replace_policy(cjson.encode({ certificate_map = map }))
    assert(testing.wait_until(function() return testing.generation() > generation end, 5))
end
use("exact")
for i = 1, 200 do
    workers:ask_all("certificate/" .. i .. ".example")
end
use("default")
local wrong = 0
for i = 1, 200 do
    local new = ngx.shared.policy:get("stamp/" .. i .. ".example")
    for id = 0, 1 do
        if workers:ask(id, "certificate/" .. i .. ".example"):sub(3) ~= new then
            wrong = wrong + 1
        end
    end
end
ngx.say(wrong, " old ones")
--- response_body
0 old ones
--- timeout: 20
--- no_error_log
[error]



=== TEST 7: an old text that a callback left in level 2 after the change is not served
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- rules_2
[{"rule": "b", "upstream": "one", "internal_dsl": [["EQ", "URL", "/b"]]}]
--- lua
local workers = require("testing.workers").connect(2)
workers:ask(0, "rules/http_tcp_80")
local dict = ngx.shared.rule_cache
local keys = dict:get_keys(0)
local old = {}
for _, key in ipairs(keys) do
    old[key] = dict:get(key)
end
testing.use(2)
for key, text in pairs(old) do
    dict:set(key, text)
end
ngx.say(#keys, " in level 2")
ngx.say(workers:ask(1, "rules/http_tcp_80"))
ngx.say((workers:ask_all("rules/http_tcp_80"):gsub("%d ", "")))
--- response_body
1 in level 2
3 b
b; b
--- no_error_log
[error]



=== TEST 8: a list whose members are gone from the shelf is not served, and the value before stays until there is another list
--- worker_count: 1
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- rules_2
[{"rule": "b", "upstream": "one", "internal_dsl": [["EQ", "URL", "/b"]]}]
--- lua
local workers = require("testing.workers").connect(1)
workers:ask(0, "rules/http_tcp_80")
ngx.shared.policy:safe_set("http_tcp_80", '{"key":"http_tcp_80","version":0,"members":["gone"]}')
assert(require("gateway.caches").invalidate("rules", "http_tcp_80"))
ngx.say(workers:ask(0, "rules/http_tcp_80"))
testing.use(2)
ngx.say(workers:wait_for("rules/http_tcp_80", "b", 2) and "b")
--- response_body
4 a
b
--- error_log
could not fetch 'http_tcp_80', the one before stays for now: rule gone is not on the shelf any more
--- no_error_log
[error]



=== TEST 9: a balancer stays the same in each worker as long as its group does
--- groups
[{"name": "g", "backends": ["one", "two"]}, {"name": "h", "backends": []}]
--- groups_2
[{"name": "g", "backends": ["one", "two"]}]
--- groups_3
[{"name": "g", "backends": ["one"]}]
--- lua
local workers = require("testing.workers").connect(2)
local function balancers(name)
    return (workers:ask_all("balancer/" .. name):gsub("%d (%S+)", "%1"))
end
local first = balancers("g")
testing.use(2)
local second = balancers("g")
ngx.say(first == second and "the same" or "another one")
ngx.say(balancers("h"))
testing.use(3)
ngx.say(balancers("g") == second and "the same" or "another one")
--- response_body
the same
nil; nil
another one
--- no_error_log
[error]



=== TEST 10: requests that come together before there is any index wait for one to make it
--- worker_count: 1
--- rules
[{"rule": "old", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- lua
local index = require "gateway.index"
local new, count = index.new, 0
index.new = function(...)
    count = count + 1
    return new(...)
end
local rules = {}
for i = 1, 20000 do
    rules[i] = ('{"rule":"r%d","redirect_url":"/%d","internal_dsl":[["EQ","URL","/%d"]]}'):format(i, i, i)
end
testing.replace_policy('{"http":{"tcp":{"80":[' .. table.concat(rules, ",") .. ']}}}')
assert(testing.wait_until(function() return testing.generation() == 2 end, 5))
local threads = {}
for i = 1, 10 do
    threads[i] = ngx.thread.spawn(testing.request, "/20000")
end
local statuses = {}
for i = 1, 10 do
    local _, answer = ngx.thread.wait(threads[i])
    statuses[i] = answer.status
end
ngx.say(table.concat(statuses, " "), ", index made: ", count)
--- response_body
302 302 302 302 302 302 302 302 302 302, index made: 1
--- no_error_log
[error]
