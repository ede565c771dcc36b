# Unknown parts of a policy and parts without effect are warned of; a rule with one that may restrict access is left out.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: a rule with a field that restricts access and that is not known is left out, the others serve
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]], "plugins": ["auth"]},
 {"rule": "b", "upstream": "one", "internal_dsl": [["EQ", "URL", "/b"]], "config": {"basicAuth": {"realm": "x"}}},
 {"rule": "c", "upstream": "one", "internal_dsl": [["EQ", "URL", "/c"]], "config": {"refs": {"auth": "1"}}},
 {"rule": "d", "upstream": "one", "internal_dsl": [["EQ", "URL", "/d"]], "waf": true},
 {"rule": "e", "upstream": "one", "internal_dsl": [["EQ", "URL", "/e"]], "annotations": {"x": {"ip-allow-list": ["10.0.0.0/8"]}}},
 {"rule": "f", "upstream": "one", "internal_dsl": [["EQ", "URL", "/f"]], "plugins": [], "config": {"auth": null, "waf": false},
  "author": "me"}]
--- probes
GET /a  => 404
GET /b  => 404
GET /c  => 404
GET /d  => 404
GET /e  => 404
GET /f  => one
--- error_log
rule 'a' left out: plugins: not known to the gateway, and may restrict access
rule 'b' left out: config.basicAuth: not known to the gateway, and may restrict access
rule 'c' left out: config.refs: not known to the gateway, and may restrict access
rule 'd' left out: waf: not known to the gateway, and may restrict access
rule 'e' left out: annotations: not known to the gateway, and may restrict access
--- no_error_log
[alert]



=== TEST 2: other unknown sections and fields are named in one warning, once
--- policy
{"http": {"tcp": {"80": [{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]], "to_location": "x", "source": {"type": "t"},
    "config": {"redirect": {"code": 302}, "timeout": {"proxy_next_ms": 5}, "rewrite_request": {"headers_var": {"a": "b"}}}},
    {"rule": "s", "upstream": "one", "internal_dsl": [["EQ", "URL", "/b"]], "to_location": "x"}]}, "udp": {"80": []}},
 "shared": {"a": 1}, "nothing": null,
 "backend_group": [{"name": "one", "mode": "http", "zone": "a", "backends": [{"address": "127.0.0.1", "port": $PORT_ONE, "zone": "b"}]}]}
--- policy_2
{"http": {"tcp": {"80": [{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]], "to_location": "x", "source": {"type": "t"},
    "config": {"redirect": {"code": 302}, "timeout": {"proxy_next_ms": 5}, "rewrite_request": {"headers_var": {"a": "b"}}}},
    {"rule": "t", "upstream": "one", "internal_dsl": [["EQ", "URL", "/b"]], "to_location": "x"}]}, "udp": {"80": []}},
 "shared": {"a": 1},
 "backend_group": [{"name": "one", "mode": "http", "zone": "a", "backends": [{"address": "127.0.0.1", "port": $PORT_ONE, "zone": "b"}]}]}
--- policy_3
{"http": {"tcp": {"80": [{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]}},
 "backend_group": [{"name": "one", "mode": "http", "backends": [{"address": "127.0.0.1", "port": $PORT_ONE}]}]}
--- lua
local function tell()
    local policy = testing.status().policy
    ngx.say(testing.who("/a"), " ", policy.unknown, " ", testing.metric("gateway_policy_unknown"), " ",
            testing.metric("gateway_policy_warnings"), " ", testing.logged("not known to the gateway"))
    for _, line in ipairs(policy.warnings) do
        ngx.say(line)
    end
end
tell()
testing.use(2)
tell()
testing.use(3)
tell()
--- response_body
one 10 10 1 1
not known to the gateway, without effect: backend_group.backends[].zone, backend_group.zone, http.udp, rule.config.redirect, rule.config.rewrite_request.headers_var, rule.config.timeout.proxy_next_ms, rule.source, rule.to_location, shared
one 10 10 1 1
not known to the gateway, without effect: backend_group.backends[].zone, backend_group.zone, http.udp, rule.config.redirect, rule.config.rewrite_request.headers_var, rule.config.timeout.proxy_next_ms, rule.source, rule.to_location, shared
one 0 0 0 1
--- error_log
policy: not known to the gateway, without effect: 
--- no_error_log
[error]



=== TEST 3: parts without effect are warned of when the policy is loaded
--- policy
{"http": {"tcp": {
    "80": [{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]},
           {"rule": "r", "upstream": "none", "internal_dsl": [["EQ", "URL", "/b"]]},
           {"rule": "s", "upstream": "idle", "internal_dsl": [["EQ", "URL", "/c"]]},
           {"rule": "t", "redirect_url": "/d", "internal_dsl": [["EQ", "URL", "/e"]]}],
    "81": [{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}],
    "82": []}},
 "backend_group": [{"name": "one", "mode": "http", "backends": [{"address": "127.0.0.1", "port": $PORT_ONE}]},
    {"name": "idle", "mode": "http", "backends": [{"address": "127.0.0.1", "port": $PORT_ONE, "weight": 0}]},
    {"name": "empty", "mode": "http", "backends": []}]}
--- lua
-- The policy may be taken over before the first worker has told its listeners.
testing.wait_until(function() return #testing.status().policy.warnings == 4 end, 3)
for _, line in ipairs(testing.status().policy.warnings) do
    ngx.say(line)
end
ngx.say(testing.who("/a"), " ", testing.who("/b"), " ", testing.who("/c"))
--- response_body
http tcp port 80: several rules have the same id: 'r'
rules name groups that the policy does not have: 'none'
groups whose backends all have weight 0: 'idle'
rules of ports that nginx does not listen on: http tcp port 81
one 503 503
--- error_log
policy: http tcp port 80: several rules have the same id: 'r'
policy: rules name groups that the policy does not have: 'none'
policy: groups whose backends all have weight 0: 'idle'
policy: rules of ports that nginx does not listen on: http tcp port 81
--- no_error_log
[error]



=== TEST 4: after a reload the warnings stand as they were, and are those of the next policy, too
--- policy
{"http": {"tcp": {"80": [{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]], "to_location": "x"}]}},
 "backend_group": [{"name": "one", "mode": "http", "zone": "a", "backends": [{"address": "127.0.0.1", "port": $PORT_ONE}]}]}
--- policy_2
{"http": {"tcp": {"80": [{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]], "to_location": "x"}],
    "81": [{"rule": "s", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]}},
 "backend_group": [{"name": "one", "mode": "http", "zone": "a", "backends": [{"address": "127.0.0.1", "port": $PORT_ONE}]}]}
--- lua
local function tell()
    ngx.say(table.concat(testing.status().policy.warnings, "; "), ", ", testing.logged("not known to the gateway"))
end
tell()
testing.reload()
tell()
testing.use(2)
tell()
--- response_body
not known to the gateway, without effect: backend_group.zone, rule.to_location, 1
not known to the gateway, without effect: backend_group.zone, rule.to_location, 1
not known to the gateway, without effect: backend_group.zone, rule.to_location; rules of ports that nginx does not listen on: http tcp port 81, 1
--- error_log
policy: not known to the gateway
--- no_error_log
[error]



=== TEST 5: a port that nginx listens on after a reload is heard, and one that it does not listen on any more is not
--- policy
{"http": {"tcp": {"$PORT_FREE": [{"rule": "r", "redirect_url": "/b", "internal_dsl": [["EQ", "URL", "/a"]]}]}}}
--- http_config
include $TEST_NGINX_SERVER_ROOT/html/listen*.conf;
--- lua
local path = testing.path("listen.conf")
local function tell(count)
    ngx.say(testing.wait_until(function() return #testing.status().policy.warnings == count end, 3), " ",
            testing.logged("nginx does not listen on"), " ", testing.generation())
end
tell(1)
local file = assert(io.open(path, "w"))
file:write("server { listen 127.0.0.1:" .. testing.port("free") .. "; }")
file:close()
testing.reload()
tell(0)
os.remove(path)
testing.reload()
tell(1)
--- response_body
true 1 1
true 1 1
true 2 1
--- error_log
policy: rules of ports that nginx does not listen on: http tcp port 
--- no_error_log
[error]
