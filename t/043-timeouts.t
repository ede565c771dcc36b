# Timeouts of a rule, towards the backend.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: a backend that takes longer than the rule's read timeout: 504
--- rules
[{"rule": "r", "upstream": "one", "config": {"timeout": {"proxy_read_timeout_ms": 200}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /?sleep=1
--- error_code: 504
--- error_log
upstream timed out
--- no_error_log
[alert]



=== TEST 2: a backend that is quick enough is waited for
--- rules
[{"rule": "r", "upstream": "one", "config": {"timeout": {"proxy_read_timeout_ms": 1500, "proxy_send_timeout_ms": 1500,
    "proxy_connect_timeout_ms": 1500}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /?sleep=0.4
--- response_body
one GET /?sleep=0.4
--- no_error_log
[error]



=== TEST 3: timeouts are those of the rule, not of the group
--- rules
[{"rule": "r", "upstream": "one", "config": {"timeout": {"proxy_read_timeout_ms": 100}}, "internal_dsl": [["STARTS_WITH", "URL", "/short"]]},
 {"rule": "s", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/long"]]}]
--- probes
GET /short?sleep=0.3  => 504
GET /long?sleep=0.3  => one
--- error_log
upstream timed out
--- no_error_log
[alert]



=== TEST 4: an address that does not answer: the connect timeout ends it, and the next backend is asked
--- rules
[{"rule": "r", "upstream": "full_and_one", "config": {"timeout": {"proxy_connect_timeout_ms": 200}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "full_and_one", "backends": ["one", {"address": "127.0.0.1", "port": $PORT_FULL, "weight": 1}]}]
--- lua
local full = require("testing.full_backlog").open(testing.port("full"))
local began = ngx.now()
local got = testing.tally(2)
ngx.update_time()
local took = ngx.now() - began
full:close()
ngx.say(got, took > 0.15 and took < 1.5 and ", after the timeout" or ", after " .. took)
--- response_body
one 2, after the timeout
--- error_log
upstream timed out
--- no_error_log
[alert]



=== TEST 5: a GET whose backend times out goes to the next one
--- rules
[{"rule": "r", "upstream": "slow_and_one", "config": {"timeout": {"proxy_read_timeout_ms": 200}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "slow_and_one", "backends": ["one", {"address": "127.0.0.1", "port": $PORT_FREE, "weight": 1}]}]
--- http_config
server {
    listen 127.0.0.1:$TEST_NGINX_PORT_FREE;
    access_log off;
    location / {
        content_by_lua_block { ngx.sleep(2) }
    }
}
--- lua
ngx.say(testing.tally(4))
--- response_body
one 4
--- error_log
upstream timed out
--- no_error_log
[alert]



=== TEST 6: 0 leaves a timeout as the configuration has it
--- rules
[{"rule": "r", "upstream": "one", "config": {"timeout": {"proxy_read_timeout_ms": 0, "proxy_connect_timeout_ms": null}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /?sleep=0.3
--- response_body
one GET /?sleep=0.3
--- no_error_log
[error]



=== TEST 7: a timeout that is changed counts from the next request on
--- rules
[{"rule": "r", "upstream": "one", "config": {"timeout": {"proxy_read_timeout_ms": 100}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "one", "config": {"timeout": {"proxy_read_timeout_ms": 2000}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.say(testing.who("/?sleep=0.3"))
testing.use(2)
ngx.say(testing.who("/?sleep=0.3"))
--- response_body
504
one
--- error_log
upstream timed out
--- no_error_log
[alert]
