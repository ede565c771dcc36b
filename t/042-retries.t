# A request whose backend does not answer goes to the next one, five times at most.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: when nothing listens at the first backend, the next one is asked
--- rules
[{"rule": "r", "upstream": "dead_and_one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.say(testing.tally(10))
--- response_body
one 10
--- error_log
connect() failed (111: Connection refused)
--- no_error_log
[alert]



=== TEST 2: when the first backend closes the connection unanswered, the next one is asked
--- rules
[{"rule": "r", "upstream": "broken_and_one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.say(testing.tally(10))
--- response_body
one 10
--- error_log
upstream prematurely closed connection
--- no_error_log
[alert]



=== TEST 3: with two of three backends dead no request fails
--- rules
[{"rule": "r", "upstream": "mostly_dead", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "mostly_dead", "backends": ["one", {"address": "127.0.0.2", "port": $PORT_DEAD, "weight": 1},
    {"address": "127.0.0.3", "port": $PORT_DEAD, "weight": 1}]}]
--- options: eject_seconds = 0
--- lua
ngx.say(testing.tally(30))
ngx.say(testing.tally(10, "/", { method = "POST", body = "content" }))
--- response_body
one 30
one 10
--- error_log
connect() failed (111: Connection refused)
--- no_error_log
[alert]



=== TEST 4: of many dead backends five are asked, each once
--- rules
[{"rule": "r", "upstream": "dead", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "dead", "backends": [{"address": "127.0.0.1", "port": $PORT_DEAD}, {"address": "127.0.0.2", "port": $PORT_DEAD},
    {"address": "127.0.0.3", "port": $PORT_DEAD}, {"address": "127.0.0.4", "port": $PORT_DEAD},
    {"address": "127.0.0.5", "port": $PORT_DEAD}, {"address": "127.0.0.6", "port": $PORT_DEAD},
    {"address": "127.0.0.7", "port": $PORT_DEAD}]}]
--- lua
ngx.say(testing.who("/"))
local asked, count = {}, 0
for address in testing.read(ngx.config.prefix() .. "logs/error.log"):gmatch("connect%(%) failed.-upstream: \"http://([%d.]+)") do
    count = count + 1
    assert(not asked[address], address .. " was asked twice")
    asked[address] = true
end
ngx.say(count)
--- response_body
502
5
--- error_log
connect() failed (111: Connection refused)
--- no_error_log
[alert]



=== TEST 5: with a consistent hash and a cookie no request fails either
--- rules
[{"rule": "a", "upstream": "ring", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "b", "upstream": "sticky", "internal_dsl": [["STARTS_WITH", "URL", "/b"]]}]
--- groups
[{"name": "ring", "session_affinity_policy": "sip-hash", "backends": ["one", {"address": "127.0.0.2", "port": $PORT_DEAD},
    {"address": "127.0.0.3", "port": $PORT_DEAD}]},
 {"name": "sticky", "session_affinity_policy": "cookie", "backends": ["one", {"address": "127.0.0.2", "port": $PORT_DEAD},
    {"address": "127.0.0.3", "port": $PORT_DEAD}]}]
--- options
eject_seconds = 0, trusted_proxies = "127.0.0.1",
--- lua
for client = 1, 20 do
    assert(testing.who("/a", { headers = { ["X-Real-IP"] = "10.0.0." .. client } }) == "one")
end
ngx.say(testing.tally(20, "/b"))
--- response_body
one 20
--- error_log
connect() failed (111: Connection refused)
--- no_error_log
[alert]



=== TEST 6: a group's only backend is asked once
--- rules
[{"rule": "r", "upstream": "dead", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /
--- error_code: 502
--- grep_error_log eval: qr/connect\(\) failed/
--- grep_error_log_out
connect() failed
--- no_error_log
[alert]



=== TEST 7: the only backend of a group with stickiness is asked once
--- rules
[{"rule": "r", "upstream": "sticky", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "sticky", "session_affinity_policy": "cookie", "backends": ["dead"]}]
--- request
GET /
--- error_code: 502
--- grep_error_log eval: qr/connect\(\) failed/
--- grep_error_log_out
connect() failed
--- no_error_log
[alert]



=== TEST 8: what a backend answers is an answer, be it an error
--- rules
[{"rule": "r", "upstream": "both", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
for _ = 1, 4 do
    local answer = testing.request("/?status=503")
    ngx.say(answer.status, " ", answer.headers["x-backend"])
end
--- response_body_like eval: qr/\A(503 one\n503 two\n|503 two\n503 one\n){2}\z/
--- no_error_log
[error]



=== TEST 9: the body goes to the next backend too
--- rules
[{"rule": "r", "upstream": "dead_and_one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
for _ = 1, 4 do
    ngx.print(testing.request("/?body=1", { method = "PUT", body = "content\n" }).body)
end
--- response_body
one PUT /?body=1
content
one PUT /?body=1
content
one PUT /?body=1
content
one PUT /?body=1
content
--- error_log
connect() failed (111: Connection refused)
--- no_error_log
[alert]



=== TEST 10: a POST that a backend has got is not sent to another
--- rules
[{"rule": "r", "upstream": "broken_and_one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.say(testing.tally(4, "/", { method = "POST", body = "content" }))
--- response_body
502 2, one 2
--- error_log
upstream prematurely closed connection
--- no_error_log
[alert]



=== TEST 11: with a consistent hash the retry goes to another backend of the ring
--- options
trusted_proxies = "127.0.0.1",
--- rules
[{"rule": "r", "upstream": "ring", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "ring", "session_affinity_policy": "sip-hash", "backends": ["dead*10", "one", "two"]}]
--- lua
for client = 1, 30 do
    local headers = { ["X-Real-IP"] = "10.0.0." .. client }
    local who = testing.who("/", { headers = headers })
    assert(who == "one" or who == "two", who)
    assert(testing.who("/", { headers = headers }) == who, "the second choice is another one each time")
end
ngx.say("served")
--- response_body
served
--- error_log
connect() failed (111: Connection refused)
--- no_error_log
[alert]
