# The options of the process: where they come from, what they do, and that nginx does not start with wrong ones.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: options come from the environment
--- main_config
env NEW_POLICY_PATH=$TEST_NGINX_SERVER_ROOT/html/policy.json;
env GATEWAY_PORTS=$TEST_NGINX_PORT_HTTP=80;
--- init_lua
require("gateway").init()
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- response_body
one GET /x
--- no_error_log
[error]



=== TEST 2: what nginx.conf says counts more than the environment
--- main_config
env NEW_POLICY_PATH=/nowhere/policy.json;
env GATEWAY_POLICY_LIMIT=nonsense;
--- options
policy_limit = 100000,
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- response_body
one GET /x
--- no_error_log
[error]



=== TEST 3: without the path of a policy nginx does not start
--- init_lua
require("gateway").init()
--- must_die
--- error_log
gateway: wrong options: NEW_POLICY_PATH is not set
--- no_error_log
[alert]



=== TEST 4: all wrong options are told at once
--- options
policy_limit = 0, policy_interval = "soon", watch_interval = -1,
--- must_die
--- error_log
policy_limit must be a whole number of bytes from 1 to 2147483647; policy_interval must be a number of seconds from 0.001 to 3600; watch_interval must be a number of seconds from 0.001 to 3600
--- no_error_log
[alert]



=== TEST 5: an unknown option is a wrong one
--- options
polcy_limit = 1000,
--- must_die
--- error_log
gateway: wrong options: unknown option 'polcy_limit'
--- no_error_log
[alert]



=== TEST 6: wrong values in the environment are named as there
--- main_config
env NEW_POLICY_PATH=/nowhere/policy.json;
env GATEWAY_POLICY_LIMIT=12.5;
env GATEWAY_PORTS=8080;
--- init_lua
require("gateway").init()
--- must_die
--- error_log
gateway: wrong options: GATEWAY_POLICY_LIMIT must be a whole number of bytes from 1 to 2147483647; GATEWAY_PORTS must be like "8080=80,8443=443"
--- no_error_log
[alert]



=== TEST 7: a port that is none is a wrong option
--- options
ports = "8080=80,70000=443",
--- must_die
--- error_log
ports must be like "8080=80,8443=443", with ports from 1 to 65535
--- no_error_log
[alert]



=== TEST 8: options that are no table are wrong
--- init_lua
require("gateway").init("policy.json")
--- must_die
--- error_log
the options must be a table
--- no_error_log
[alert]



=== TEST 9: an empty variable counts as none
--- main_config
env NEW_POLICY_PATH=$TEST_NGINX_SERVER_ROOT/html/policy.json;
env GATEWAY_POLICY_LIMIT=;
env GATEWAY_WATCH_INTERVAL=;
env GATEWAY_PORTS=$TEST_NGINX_PORT_HTTP=80;
--- init_lua
require("gateway").init()
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- response_body
one GET /x
--- no_error_log
[error]



=== TEST 10: a listener that the option does not name takes the rules of its own port
--- options
ports = {},
--- policy
{"http": {"tcp": {"80": [{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}],
    "$PORT_HTTP": [{"rule": "own", "redirect_url": "/own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]}}}
--- request
GET /x
--- error_code: 302
--- response_headers
Location: /own
--- no_error_log
[error]



=== TEST 11: a policy above the limit is refused with one line
--- options
policy_limit = 1000,
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.sleep(1.2)
ngx.say(testing.who("/x"), " ", testing.status().policy)
--- response_body
503 null
--- grep_error_log eval: qr/\[error\].*?the limit is \d+/
--- grep_error_log_out eval
qr/\A.*has \d+ bytes, the limit is 1000\n\z/



=== TEST 12: a changed file is seen within the watch interval, long before the next full check
--- options
policy_interval = 600, watch_interval = 0.02,
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.say(testing.who("/x"))
local began = ngx.now()
testing.use(2)
ngx.say(testing.who("/x"), ngx.now() - began < 0.5 and ", soon" or ", late")
--- response_body
one
two, soon
--- no_error_log
[error]



=== TEST 13: requests that do not go through the gateway's locations leave it alone
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /own {
    return 200 "own";
}
--- request
GET /own
--- response_body: own
--- no_error_log
[error]



=== TEST 14: a location that passes to the gateway's backends past its rules gets an error, not a backend
--- config
location = /past {
    proxy_pass http://gateway_backend;
}
--- request
GET /past
--- error_code: 500
--- error_log
a request reached the backends of the gateway without its rewrite phase
--- no_error_log
[alert]
