# nginx reads its configuration again while requests come: none fails, and the policy stays in force.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

workers(2);
# The backends are reloaded too, so that they are told not to keep connections (close=1) where each error line counts.

run_tests();

__DATA__

=== TEST 1: no request fails during reloads under load
--- rules
[{"rule": "r", "upstream": "both", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local load = require("testing.load").requests(8, "/x?close=1", 200)
for _ = 1, 3 do
    testing.reload()
end
ngx.say(load:report(100))
--- response_body
0 failed
--- timeout: 20
--- no_error_log
[error]



=== TEST 2: no handshake fails during reloads under load
--- rules
[{"rule": "r", "redirect_url": "/y", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates
{"a.example": "exact", "443": "default"}
--- config
lua_ssl_trusted_certificate $TEST_NGINX_CERTS/exact.crt;
--- lua
local load = require("testing.load").requests(4, "/x", 302, { host = "a.example", tls = { sni = "a.example", verify = true } })
for _ = 1, 2 do
    testing.reload()
end
ngx.say(load:report(50))
--- response_body
0 failed
--- timeout: 20
--- no_error_log
[error]



=== TEST 3: a request that began before a reload is served to its end
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local slow = ngx.thread.spawn(function()
    return testing.request("/slow?sleep=1.5")
end)
ngx.sleep(0.05)
testing.reload()
ngx.say("reloaded")
local _, answer = ngx.thread.wait(slow)
ngx.print(answer.body)
--- response_body
reloaded
one GET /slow?sleep=1.5
--- timeout: 10
--- no_error_log
[error]



=== TEST 4: a reload takes the policy over without reading it anew
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.say(testing.who("/x"), " ", testing.generation())
testing.reload()
ngx.sleep(0.3)
ngx.say(testing.who("/x"), " ", testing.generation())
--- response_body
one 1
one 1
--- timeout: 10
--- no_error_log
[error]



=== TEST 5: a reload while the policy file is broken leaves the policy in force
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http":
--- lua
testing.use(2, 0)
assert(testing.wait_until(function() return testing.status().refused == 1 end, 3))
testing.reload()
for _ = 1, 4 do
    ngx.say(testing.who("/x"))
end
--- response_body
one
one
one
one
--- timeout: 10
--- error_log
policy
--- no_error_log
[alert]



=== TEST 6: a reload while the policy file is gone leaves the policy in force
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
testing.remove_policy()
testing.reload()
ngx.say(testing.who("/x"), " ", testing.who("/y"))
--- response_body
one one
--- timeout: 10
--- error_log
policy.json
--- no_error_log
[alert]



=== TEST 7: policies that change while nginx reloads reach the new workers
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_3
[{"rule": "r", "upstream": "three", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.say(testing.tally(8))
testing.use(2, 0)
testing.reload()
testing.wait_until(function() return testing.tally(8) == "two 8" end, 3)
ngx.say(testing.tally(8))
testing.use(3)
testing.wait_until(function() return testing.tally(8) == "three 8" end, 3)
ngx.say(testing.tally(8))
--- response_body
one 8
two 8
three 8
--- timeout: 15
--- no_error_log
[error]



=== TEST 8: no request fails while policies change and nginx reloads under load
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "other", "upstream": "dead", "internal_dsl": [["EQ", "URL", "/other"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_3
[{"rule": "r", "upstream": "both", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local load = require("testing.load").requests(4, "/x?close=1", 200)
for round = 1, 12 do
    testing.use(round % 2 + 2, 0)
    if round % 6 == 0 then
        testing.reload()
    end
    ngx.sleep(0.1)
end
ngx.say(load:report(100))
--- response_body
0 failed
--- timeout: 20
--- no_error_log
[error]



=== TEST 9: a reload while a large change is read leaves nothing out of it
--- rules
[{"rule": "first", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local cjson = require "cjson"
testing.await_reader()
local policy = cjson.decode(testing.read(testing.path("policy.json")))
for _, name in ipairs({ "a", "b" }) do
    local rules = {}
    for i = 1, 20000 do
        rules[i] = { rule = name .. i, upstream = "one", internal_dsl = { { "EQ", "URL", "/" .. name .. i } } }
    end
    rules[#rules + 1] = { rule = name, upstream = "two", internal_dsl = { { "STARTS_WITH", "URL", "/" .. name } } }
    policy.http.tcp["80"] = rules
    local text, before = cjson.encode(policy), testing.generation()
    testing.replace_policy(text)
    ngx.sleep(0.2)
    testing.reload()
    local is_taken = testing.wait_until(function() return testing.generation() > before end, 15)
    ngx.say(is_taken and "taken" or "not taken", ", ", testing.who("/" .. name .. "1"), " ", testing.who("/" .. name .. "x"))
end
--- response_body
taken, one two
taken, one two
--- timeout: 40
--- no_error_log
[error]
