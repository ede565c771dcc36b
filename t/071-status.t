# /status and /policies.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: the status of a gateway with a policy
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/"]]}]
--- https_rules
[]
--- lua
local status = testing.status()
ngx.say("generation ", status.generation, ", workers ", status.workers, ", refused ", status.refused)
local policy = status.policy
ngx.say(policy.rules, " rule, ", policy.groups, " groups, ", policy.certificates, " certificates, ", policy.left_out, " left out")
ngx.say("port 80: ", policy.ports.http_tcp_80, ", port 443: ", policy.ports.http_tcp_443)
ngx.say(policy.path == testing.path("policy.json"), " ", policy.bytes == #testing.read(policy.path))
ngx.say(policy.loaded_at:match("^20%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$") and "a time" or policy.loaded_at)
ngx.say(status.last_error)
--- response_body
generation 1, workers 1, refused 0
1 rule, 10 groups, 0 certificates, 0 left out
port 80: 1, port 443: 0
true true
a time
null
--- no_error_log
[error]



=== TEST 2: a gateway without a policy is alive and says so
--- no_policy
--- lua
local answer = testing.request("/status", { to = "status" })
ngx.say(answer.status, " ", answer.headers["content-type"])
local status = testing.status()
ngx.say("policy ", status.policy, ", generation ", status.generation)
--- response_body
200 application/json
policy null, generation null
--- error_log
policy.json
--- no_error_log
[alert]



=== TEST 3: a policy that is refused is told, and the one in force stays in the status
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": "no list"}}}
--- lua
testing.use(2, 0)
assert(testing.wait_until(function() return testing.status().refused == 1 end, 3))
local status = testing.status()
ngx.say(status.generation, " ", status.policy.rules)
ngx.say(status.last_error:find("http.tcp.80", 1, true) and "the place is named" or status.last_error)
ngx.say(status.last_error_at:match("^20") and "a time")
--- response_body
1 2
the place is named
a time
--- error_log
http.tcp.80
--- no_error_log
[alert]



=== TEST 4: /policies is the policy in force as one JSON document
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]], "unknown": [1, {"x": null}]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["EQ", "URL", "/b"]]}]
--- https_rules
[]
--- lua
local answer = testing.request("/policies", { to = "status" })
local policy = assert(require("cjson.safe").decode(answer.body))
ngx.say(answer.headers["content-type"], " ", policy.generation)
local rules = policy.http.tcp["80"]
ngx.say(#rules, " rules: ", rules[1].rule, " ", rules[2].rule, ", ", rules[1].unknown[1])
ngx.say(#policy.http.tcp["443"], " rules on 443")
ngx.say(#policy.backend_group, " groups, the first is ", policy.backend_group[1].name)
ngx.say(next(policy.certificate_map) == nil and "no certificates")
--- response_body
application/json 1
2 rules: r s, 1
0 rules on 443
10 groups, the first is both
no certificates
--- no_error_log
[error]



=== TEST 5: /policies has the rules before the reader has said that it is done
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- lua
ngx.shared.policy:delete("/state")
local policy = require("cjson.safe").decode(testing.request("/policies", { to = "status" }).body)
ngx.say(policy.http and policy.http.tcp["80"][1].rule)
--- response_body
r
--- no_error_log
[error]



=== TEST 6: the gateway has one name, whichever nginx it runs on
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]},
 {"rule": "s", "redirect_url": "/a", "internal_dsl": [["EQ", "URL", "/b"]]}]
--- lua
for _, path in ipairs({ "/a", "/b", "/c" }) do
    ngx.say(testing.request(path).headers.server)
end
--- response_body
nginx
nginx
nginx
--- no_error_log
[error]



=== TEST 7: /policies shows certificates, but never a private key
--- certificates
{"a.example": "exact", "*.w.example": "wildcard_rsa", "443": "default"}
--- main_config
env TEST_NGINX_CERTS;
--- lua
local body = testing.request("/policies", { to = "status" }).body
local map = assert(require("cjson.safe").decode(body)).certificate_map
ngx.say(map["a.example"].cert == testing.read(os.getenv("TEST_NGINX_CERTS") .. "/exact.crt") and "the certificate")
ngx.say(map["*.w.example"] and map["443"] and "all of them")
ngx.say(body:find("PRIVATE", 1, true) and "a key" or "no key")
--- response_body
the certificate
all of them
no key
--- no_error_log
[error]



=== TEST 8: /policies shows what is in force, not what the file says
--- rules
[{"rule": "good", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}, {"rule": "bad", "internal_dsl": [["EQUALS", "URL", "/b"]]}]
--- policy_2
nonsense
--- lua
testing.use(2, 0)
assert(testing.wait_until(function() return testing.status().refused == 1 end, 3))
local rules = require("cjson.safe").decode(testing.request("/policies", { to = "status" }).body).http.tcp["80"]
ngx.say(#rules, " ", rules[1].rule)
--- response_body
1 good
--- error_log
rule 'bad' left out
--- no_error_log
[alert]



=== TEST 9: a large policy is sent in pieces and whole
--- rules eval
'[' . CORE::join(', ', map { qq({"rule": "r$_", "redirect_url": "/$_", "internal_dsl": [["EQ", "HOST", "h$_.example"]]}) } 1 .. 3000) . ']'
--- https_rules
[]
--- lua
local body = testing.request("/policies", { to = "status" }).body
local rules = assert(require("cjson.safe").decode(body)).http.tcp["80"]
ngx.say(#rules, " ", rules[1].rule, " ", rules[3000].rule, " ", #body > 200000)
--- response_body
3000 r1 r3000 true
--- no_error_log
[error]



=== TEST 10: without a policy /policies is an empty one
--- no_policy
--- lua
local policy = assert(require("cjson.safe").decode(testing.request("/policies", { to = "status" }).body))
ngx.say(policy.generation, " ", #policy.backend_group)
--- response_body
null 0
--- error_log
policy.json
--- no_error_log
[alert]



=== TEST 11: the status port has nothing else, and takes no part in routing
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local answer = testing.request("/x", { to = "status" })
ngx.say(answer.status, " ", answer.body)
ngx.say(testing.who("/status"), " ", testing.who("/metrics"))
--- response_body
404 /status, /metrics and /policies are what there is

one one
--- no_error_log
[error]



=== TEST 12: rules of layer 4 that this nginx cannot serve count as left out
--- policy_2
{"stream": {"tcp": {"22": [{"rule": "a", "upstream": "one"}, {"rule": "b", "upstream": "one"}]}, "udp": {"53": [{"rule": "c", "upstream": "one"}]}}}
--- lua
local serves_stream = ngx.config.nginx_configure():find("stream[-_]lua") ~= nil
testing.use(2)
ngx.say(testing.status().policy.left_out == (serves_stream and 0 or 3) and "as it should be" or testing.status().policy.left_out)
--- response_body
as it should be
--- no_error_log
[alert]
