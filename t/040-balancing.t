# Weighted round robin over the backends of a group, and what happens when there is no backend.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# All ends of all connections are in one process here.
worker_connections(512);

run_tests();

__DATA__

=== TEST 1: two backends of the same weight take turns
--- rules
[{"rule": "r", "upstream": "both", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local got = {}
for i = 1, 10 do
    local who = testing.who("/")
    got[who] = (got[who] or 0) + 1
    assert(i == 1 or who ~= got.last, "twice in a row: " .. who)
    got.last = who
end
ngx.say("one ", got.one, ", two ", got.two)
--- response_body
one 5, two 5
--- no_error_log
[error]



=== TEST 2: weights say how often each backend comes
--- rules
[{"rule": "r", "upstream": "weighted", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "weighted", "backends": ["one*5", "two*3", "three*2"]}]
--- lua
ngx.say(testing.tally(40))
--- response_body
one 20, three 8, two 12
--- no_error_log
[error]



=== TEST 3: a backend of weight 0 gets nothing
--- rules
[{"rule": "r", "upstream": "weighted", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "weighted", "backends": ["one*1", "two*0"]}]
--- lua
ngx.say(testing.tally(10))
--- response_body
one 10
--- no_error_log
[error]



=== TEST 4: a backend that is listed twice has both weights
--- rules
[{"rule": "r", "upstream": "twice", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "twice", "backends": ["one", "two", "one"]}]
--- lua
ngx.say(testing.tally(12))
--- response_body
one 8, two 4
--- no_error_log
[error]



=== TEST 5: two rules with one group share its round
--- rules
[{"rule": "r", "upstream": "both", "internal_dsl": [["STARTS_WITH", "URL", "/r"]]},
 {"rule": "s", "upstream": "both", "internal_dsl": [["STARTS_WITH", "URL", "/s"]]}]
--- lua
for i = 1, 4 do
    assert(testing.who("/r") ~= testing.who("/s"), "the same backend twice in a row")
end
ngx.say("in turns")
--- response_body
in turns
--- no_error_log
[error]



=== TEST 6: a group without backends: 503, and a line that names the group
--- rules
[{"rule": "r", "upstream": "empty", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- error_code: 503
--- response_body
not available
--- error_log
no answer for port 80, host localhost, path /x: backend group 'empty' has no backend
--- no_error_log
[error]



=== TEST 7: a group that the policy does not have: 503, and a line that names it
--- rules
[{"rule": "r", "upstream": "no-such-group", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- error_code: 503
--- response_body
not available
--- error_log
no answer for port 80, host localhost, path /x: there is no backend group 'no-such-group'
--- no_error_log
[error]



=== TEST 8: a backend that cannot be used is left out with one line, and the others serve
--- rules
[{"rule": "r", "upstream": "mixed", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "mixed", "backends": ["one", {"address": "backend.example", "port": 80}, {"address": "127.0.0.1"}]}]
--- lua
ngx.say(testing.tally(4))
--- response_body
one 4
--- grep_error_log eval: qr/backend_group 'mixed'[^,]*/
--- grep_error_log_out eval
qr/\A.*'backend\.example' is not an IP address\n.*port.*missing\n\z/



=== TEST 9: weights of a new policy take the place of the old ones
--- rules
[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "g", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "g", "backends": ["one", "two*3"]}]
--- lua
ngx.say(testing.tally(8))
testing.use(2)
ngx.say(testing.tally(8))
--- response_body
one 8
one 2, two 6
--- no_error_log
[error]



=== TEST 10: a group that stays the same keeps its place in the round when others change
--- rules
[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "g", "backends": ["one", "two", "three"]}]
--- rules_2
[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "g", "backends": ["one", "two", "three"]}, {"name": "other", "backends": ["one"]}]
--- lua
local seen = { [testing.who("/")] = true }
seen[testing.who("/")] = true
testing.use(2)
seen[testing.who("/")] = true
ngx.say(seen.one and seen.two and seen.three and "the round went on" or "it began anew")
--- response_body
the round went on
--- no_error_log
[error]



=== TEST 11: an IPv6 address of a backend gets brackets
--- rules
[{"rule": "r", "upstream": "six", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "six", "backends": [{"address": "::1", "port": $PORT_DEAD, "weight": 1}]}]
--- request
GET /
--- error_code: 502
--- error_log eval
qr{upstream: "http://\[::1\]:\d+/"}
--- no_error_log
[alert]



=== TEST 12: connections to backends are kept for the next request
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local first = testing.request("/", { headers = { ["X-Echo"] = "x-peer-port" } })
local second = testing.request("/", { headers = { ["X-Echo"] = "x-peer-port" } })
ngx.say(first.headers["x-peer-port"] == second.headers["x-peer-port"] and "the same connection" or "another connection")
--- response_body
the same connection
--- no_error_log
[error]



=== TEST 13: as many connections are kept as were needed at one time
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local ports, count = {}, 0
for _ = 1, 2 do
    local threads = {}
    for i = 1, 50 do
        threads[i] = ngx.thread.spawn(testing.request, "/?sleep=0.3")
    end
    for i = 1, 50 do
        local _, answer = assert(ngx.thread.wait(threads[i]))
        local port = answer.headers["x-peer-port"]
        count = count + (ports[port] and 0 or 1)
        ports[port] = true
    end
    ngx.say(count)
end
--- response_body
50
50
--- no_error_log
[error]
