# A request whose backend does not answer goes to the next one, once.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: when nothing listens at the first backend, the next one is asked
--- rules
[{"rule": "r", "upstream": "dead_and_one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        ngx.say(require("testing").tally(10))
    }
}
--- request
GET /t
--- response_body
one 10
--- error_log
connect() failed (111: Connection refused)
--- no_error_log
[alert]



=== TEST 2: when the first backend closes the connection unanswered, the next one is asked
--- rules
[{"rule": "r", "upstream": "broken_and_one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        ngx.say(require("testing").tally(10))
    }
}
--- request
GET /t
--- response_body
one 10
--- error_log
upstream prematurely closed connection
--- no_error_log
[alert]



=== TEST 3: when two backends do not answer, the third is not asked
--- rules
[{"rule": "r", "upstream": "mostly_dead", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "mostly_dead", "backends": [{"address": "127.0.0.1", "port": $PORT_DEAD, "weight": 1},
    {"address": "127.0.0.2", "port": $PORT_DEAD, "weight": 1}, {"address": "127.0.0.3", "port": $PORT_DEAD, "weight": 1}]}]
--- request
GET /
--- error_code: 502
--- grep_error_log eval: qr/connect\(\) failed/
--- grep_error_log_out
connect() failed
connect() failed
--- no_error_log
[alert]



=== TEST 4: a group's only backend is asked once
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



=== TEST 5: the only backend of a group with stickiness is asked once
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



=== TEST 6: what a backend answers is an answer, be it an error
--- rules
[{"rule": "r", "upstream": "both", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        for _ = 1, 4 do
            local answer = testing.request("/?status=503")
            ngx.say(answer.status, " ", answer.headers["x-backend"])
        end
    }
}
--- request
GET /t
--- response_body_like eval: qr/\A(503 one\n503 two\n|503 two\n503 one\n){2}\z/
--- no_error_log
[error]



=== TEST 7: the body goes to the next backend too
--- rules
[{"rule": "r", "upstream": "dead_and_one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        for _ = 1, 4 do
            ngx.print(testing.request("/?body=1", { method = "PUT", body = "content\n" }).body)
        end
    }
}
--- request
GET /t
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



=== TEST 8: a POST that a backend has got is not sent to another
--- rules
[{"rule": "r", "upstream": "broken_and_one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        ngx.say(require("testing").tally(4, "/", { method = "POST", body = "content" }))
    }
}
--- request
GET /t
--- response_body
502 2, one 2
--- error_log
upstream prematurely closed connection
--- no_error_log
[alert]



=== TEST 9: with a consistent hash the retry goes to another backend of the ring
--- options
trusted_proxies = "127.0.0.1",
--- rules
[{"rule": "r", "upstream": "ring", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "ring", "session_affinity_policy": "sip-hash", "backends": ["dead*10", "one", "two"]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        for client = 1, 30 do
            local headers = { ["X-Real-IP"] = "10.0.0." .. client }
            local who = testing.who("/", { headers = headers })
            assert(who == "one" or who == "two", who)
            assert(testing.who("/", { headers = headers }) == who, "the second choice is another one each time")
        end
        ngx.say("served")
    }
}
--- request
GET /t
--- response_body
served
--- error_log
connect() failed (111: Connection refused)
--- no_error_log
[alert]
