# /metrics: the counters, their labels, and that Prometheus can read the text.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

workers(2);

run_tests();

__DATA__

=== TEST 1: requests are counted by the policy's port and by status
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]}]
--- lua
for path, count in pairs({ ["/a"] = 3, ["/a?status=500"] = 2, ["/nowhere"] = 4 }) do
    for _ = 1, count do
        testing.request(path)
    end
end
testing.settle()
for _, status in ipairs({ 200, 500, 404 }) do
    ngx.say(status, ": ", testing.metric('gateway_requests_total{port="80",status="' .. status .. '"}'))
end
--- response_body
200: 3
500: 2
404: 4
--- no_error_log
[error]



=== TEST 2: requests are counted by the rule they matched
--- rules
[{"rule": "first", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "second", "redirect_url": "/x", "internal_dsl": [["STARTS_WITH", "URL", "/b"]]},
 {"rule": "third", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/c"]]}]
--- lua
for _, path in ipairs({ "/a", "/b", "/a/b", "/d" }) do
    testing.request(path)
end
testing.settle()
for _, rule in ipairs({ "first", "second", "third" }) do
    ngx.say(rule, ": ", testing.metric('gateway_rule_requests_total{rule="' .. rule .. '"}'))
end
--- response_body
first: 2
second: 1
third: nil
--- no_error_log
[error]



=== TEST 3: what a client sends never becomes a label
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "HOST", "a.example"]]}]
--- lua
for i = 1, 5 do
    testing.request("/made-up-" .. i, { host = "made-up-" .. i, method = "MADEUP" })
end
testing.settle()
ngx.say(testing.metrics():find("made", 1, true) and "found" or "not found")
--- response_body
not found
--- no_error_log
[error]



=== TEST 4: a label is escaped
--- rules
[{"rule": "a \"quoted\" \\ rule", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
testing.request("/")
testing.settle()
ngx.say(testing.metrics():match("gateway_rule_requests_total{[^\n]+"))
--- response_body
gateway_rule_requests_total{rule="a \"quoted\" \\ rule"} 1
--- no_error_log
[error]



=== TEST 5: durations make a histogram, its buckets in order and cumulative
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
testing.request("/?sleep=0.3")
testing.request("/?sleep=0.06")
testing.settle()
local text = testing.metrics()
for le, count in text:gmatch('gateway_request_duration_seconds_bucket{port="80",le="([^"]+)"} (%d+)') do
    ngx.print(le, " ", count, ", ")
end
ngx.say()
ngx.say(text:match('gateway_request_duration_seconds_count{port="80"} [^\n]*'))
local sum = tonumber(text:match('gateway_request_duration_seconds_sum{port="80"} ([^\n]*)'))
ngx.say(sum >= 0.36 and sum < 0.7 and "the sum fits" or sum)
--- response_body
0.001 0, 0.0025 0, 0.005 0, 0.01 0, 0.025 0, 0.05 0, 0.1 1, 0.25 1, 0.5 2, 1 2, 2.5 2, 5 2, 10 2, +Inf 2, 
gateway_request_duration_seconds_count{port="80"} 2
the sum fits
--- no_error_log
[error]



=== TEST 6: failures and retries are counted by backend group
--- options: eject_seconds = 0
--- rules
[{"rule": "r", "upstream": "dead_and_one", "internal_dsl": [["STARTS_WITH", "URL", "/half"]]},
 {"rule": "s", "upstream": "dead", "internal_dsl": [["STARTS_WITH", "URL", "/dead"]]}]
--- lua
testing.tally(6, "/half")  -- each worker begins its round at either backend
testing.tally(2, "/dead")
testing.settle()
ngx.say("half: ", testing.metric('gateway_upstream_failures_total{group="dead_and_one"}'), " failed, ",
    testing.metric('gateway_upstream_retries_total{group="dead_and_one"}'), " tried again")
ngx.say("dead: ", testing.metric('gateway_upstream_failures_total{group="dead"}'), " failed, ",
    testing.metric('gateway_upstream_retries_total{group="dead"}'), " tried again")
--- response_body_like
half: ([2-4]) failed, \1 tried again
dead: 2 failed, nil tried again$
--- error_log
connect() failed
--- no_error_log
[alert]



=== TEST 7: answers of the caches are counted by level
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates
{"443": "default"}
--- lua
for _ = 1, 4 do
    testing.request("/", { tls = { sni = "a.example" } })
end
testing.settle()
for _, cache in ipairs({ "rule", "cert", "backend" }) do
    local sum, from_worker = 0, 0
    for level = 1, 3 do
        local count = testing.metric(('gateway_cache_hits_total{cache="%s",level="%d"}'):format(cache, level)) or 0
        sum = sum + count
        from_worker = level == 1 and count or from_worker
    end
    ngx.say(cache, ": ", sum, ", ", from_worker >= 2 and from_worker < 4 and "most from the worker itself" or from_worker)
end
--- response_body
rule: 4, most from the worker itself
cert: 12, most from the worker itself
backend: 4, most from the worker itself
--- no_error_log
[error]



=== TEST 8: handshakes are counted by what found their certificate
--- certificates
{"a.example": "exact", "*.w.example": "wildcard", "443": "default"}
--- lua
for _, name in ipairs({ "a.example", "x.w.example", "y.w.example", "other.example", "127.0.0.1" }) do
    assert(testing.handshake(name))
end
testing.settle()
for _, by in ipairs({ "name", "wildcard", "port", "none" }) do
    ngx.say(by, ": ", testing.metric('gateway_tls_certificates_total{by="' .. by .. '"}'))
end
--- response_body
name: 1
wildcard: 2
port: 2
none: nil
--- no_error_log
[error]



=== TEST 9: the policy in force is told in numbers
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/"]]}, {"rule": "bad", "internal_dsl": []}]
--- https_rules
[]
--- certificates
{"443": "default", "a.example": "exact"}
--- lua
for _, name in ipairs({ "generation", "loads_total", "errors_total", "rules", "groups", "certificates", "left_out" }) do
    ngx.say(name, " ", testing.metric("gateway_policy_" .. name))
end
ngx.say("workers ", testing.metric("gateway_workers"))
local age = ngx.now() - testing.metric("gateway_policy_loaded_timestamp_seconds")
ngx.say(age > -1 and age < 60 and "just now" or age)
--- response_body
generation 1
loads_total 1
errors_total 0
rules 1
groups 10
certificates 2
left_out 1
workers 2
just now
--- error_log
rule 'bad' left out
--- no_error_log
[alert]



=== TEST 10: policies that are put in force and policies that are refused are counted
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/"]]}]
--- rules_2
[]
--- policy_3
{"http": {"tcp": {"80": [
--- lua
testing.use(2)
testing.use(3, 0)
assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3))
ngx.say(testing.metric("gateway_policy_loads_total"), " in force, 1 refused")
--- response_body
2 in force, 1 refused
--- error_log
policy
--- no_error_log
[alert]



=== TEST 11: every family has its help and its type, and every line its form
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
testing.request("/")
testing.settle()
local answer = testing.request("/metrics", { to = "status" })
ngx.say(answer.headers["content-type"])
local kind, described = {}, {}
for line in answer.body:gmatch("[^\n]+") do
    local family = line:match("^# HELP (%S+) %S")
    if family then
        assert(not described[family], "twice: " .. family)
        described[family] = true
    elseif line:find("^# TYPE ") then
        local name, its = line:match("^# TYPE (%S+) (%l+)$")
        assert(described[name] and not kind[name], line)
        kind[name] = its
    else
        local name = line:match("^([%l_]+)%b{} [%d.e+-]+$") or line:match("^([%l_]+) [%d.e+-]+$")
        name = name and (kind[name] and name or name:gsub("_%l+$", ""))
        assert(name and kind[name], line)
    end
end
assert(kind.gateway_requests_total == "counter" and kind.gateway_request_duration_seconds == "histogram")
ngx.say("well formed")
--- response_body
text/plain; version=0.0.4
well formed
--- no_error_log
[error]



=== TEST 12: the counts of all workers come together, those of workers that ended too
--- rules
[{"rule": "r", "redirect_url": "/x", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
for _ = 1, 20 do
    testing.request("/")
end
testing.reload()
for _ = 1, 20 do
    testing.request("/")
end
local series = 'gateway_rule_requests_total{rule="r"}'
testing.wait_until(function() return testing.metric(series) == 40 end, 3)
ngx.say(testing.metric(series))
--- response_body
40
--- no_error_log
[error]



=== TEST 13: an answer of a backend is no failure, be it 502 or 504
--- rules
[{"rule": "r", "upstream": "both", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.say(testing.request("/?status=502").status, " ", testing.request("/?status=504").status)
testing.settle()
ngx.say(testing.metric('gateway_upstream_failures_total{group="both"}'))
--- response_body
502 504
nil
--- no_error_log
[error]
