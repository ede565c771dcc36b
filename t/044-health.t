# Backends that do not answer are passed over: for some seconds after a connection was refused, and while health checks fail.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

workers(2);

# A backend at the free port, which answers as `testing.health` in shared memory says: "up", "down" (503); and a group of it and of one.
each_block(
    rules => '[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]',
    http_config => <<'_EOC_',
    server {
        listen 127.0.0.1:$TEST_NGINX_PORT_FREE;
        access_log off;
        location / {
            content_by_lua_block {
                if ngx.shared.locks:get("testing_down") then
                    ngx.status = 503
                end
                if ngx.var.uri == "/up" then
                    ngx.shared.locks:incr("testing_checks", 1, 0)
                    return ngx.say(ngx.var.http_host, " ", ngx.var.http_user_agent)
                end
                ngx.header["X-Backend"] = "free"
                ngx.say("free")
            }
        }
    }
_EOC_
    before => <<'_EOC_',
local function down(is_down)
    ngx.shared.locks:set("testing_down", is_down or nil)
end

-- Waits until so many backends are down by their checks.
local function await(count)
    assert(testing.wait_until(function() return testing.metric("gateway_backends_down") == count end, 5),
           testing.metric("gateway_backends_down") .. " are down")
    ngx.sleep(0.3)
end
_EOC_
);

run_tests();

__DATA__

=== TEST 1: a backend that refused a connection is passed over by all workers, and asked again after some seconds
--- ask_workers
--- groups
[{"name": "g", "backends": ["one", "dead"]}]
--- options: eject_seconds = 1
--- lua
local workers = require("testing.workers").connect(2)
local function failures() return testing.logged("connect%(%) failed") end
for _ = 1, 10 do
    assert(workers:who_all("/x") == "one; one")
end
ngx.say(failures(), " ", testing.status().backends.ejected, " ", testing.metric("gateway_backends_ejected"))
ngx.sleep(1.5)
ngx.say(testing.status().backends.ejected)
for _ = 1, 10 do
    assert(workers:who_all("/x") == "one; one")
end
ngx.say(failures() > 1)
--- response_body
1 1 1
0
true
--- error_log eval
qr/backend 127\.0\.0\.1:\d+ of group 'g' could not be connected to and is passed over for 1 s/
--- no_error_log
[alert]



=== TEST 2: where all backends refuse, all are asked
--- groups
[{"name": "g", "backends": [{"address": "127.0.0.2", "port": $PORT_DEAD}, {"address": "127.0.0.3", "port": $PORT_DEAD}]}]
--- lua
for _ = 1, 4 do
    assert(testing.who("/x") == 502)
end
local asked = {}
for address in testing.read(ngx.config.prefix() .. "logs/error.log"):gmatch("connect%(%) failed.-upstream: \"http://([%d.]+)") do
    asked[address] = (asked[address] or 0) + 1
end
ngx.say(asked["127.0.0.2"], " ", asked["127.0.0.3"], " ", testing.metric("gateway_backends_ejected"))
--- response_body
4 4 2
--- error_log
connect() failed (111: Connection refused)
--- no_error_log
[alert]



=== TEST 3: a backend that closes a connection unanswered is not passed over, since a request may be to blame
--- groups
[{"name": "g", "backends": ["one", "broken"]}]
--- lua
for _ = 1, 10 do
    assert(testing.who("/x") == "one")
end
ngx.say(testing.metric("gateway_backends_ejected"))
--- response_body
0
--- error_log
upstream prematurely closed connection
--- no_error_log
[alert]



=== TEST 4: a POST that finds no server at a backend has it passed over, too
--- groups
[{"name": "g", "backends": ["one", "dead"]}]
--- lua
ngx.say(testing.tally(10, "/x", { method = "POST", body = "content" }))
ngx.say(testing.logged("connect%(%) failed"))
--- response_body
one 10
1
--- error_log
connect() failed (111: Connection refused)
--- no_error_log
[alert]



=== TEST 5: a backend whose HTTP checks fail gets no request, and is back when they do not
--- worker_count: 1
--- groups
[{"name": "g", "backends": ["one", "free"], "health_check": {"type": "http", "path": "/up", "interval_ms": 100, "timeout_ms": 500,
    "healthy_threshold": 2, "unhealthy_threshold": 2}}]
--- lua
assert(testing.tally(10, "/x") == "free 5, one 5", testing.tally(10, "/x"))
down(true)
await(1)
ngx.say(testing.tally(20, "/x"), "; ", testing.status().backends.down)
down(false)
await(0)
ngx.say(testing.tally(20, "/x"))
--- response_body
one 20; 1
free 10, one 10
--- error_log eval
[qr/backend 127\.0\.0\.1:\d+ of group 'g' is out, 2 health checks failed: status 503/,
 qr/backend 127\.0\.0\.1:\d+ of group 'g' is back after 2 health checks/]
--- no_error_log
[error]



=== TEST 6: TCP checks, by an option for all groups
--- worker_count: 1
--- groups
[{"name": "g", "backends": ["one", "dead"]}]
--- options
health_check = '{"type": "tcp", "interval_ms": 100, "unhealthy_threshold": 1}',
--- lua
-- Of the ready groups dead and dead_and_one have it, too.
await(3)
ngx.say(testing.tally(20, "/x"))
--- response_body
one 20
--- error_log
health checks failed: connection refused
--- no_error_log
[error]



=== TEST 7: where the checks of all backends fail, all are used
--- groups
[{"name": "g", "backends": ["free", {"address": "127.0.0.2", "port": $PORT_DEAD}],
    "health_check": {"type": "http", "path": "/up", "interval_ms": 100, "unhealthy_threshold": 1}}]
--- lua
down(true)
await(2)
ngx.say(testing.tally(10, "/x"))
--- response_body
free 10
--- error_log
health checks failed: connection refused
health checks failed: status 503
--- no_error_log
[alert]



=== TEST 8: one process checks, at its interval
--- worker_count: 4
--- groups
[{"name": "g", "backends": ["one", "free"], "health_check": {"type": "http", "path": "/up", "interval_ms": 200}}]
--- lua
local function count() return ngx.shared.locks:get("testing_checks") or 0 end
ngx.sleep(0.5)
local before = count()
ngx.sleep(2)
local made = count() - before
ngx.say(made >= 4 and made <= 11 or made)
--- response_body
true
--- no_error_log
[error]



=== TEST 9: what was down is not when the checks or the backend have gone, and stays down over a reload
--- worker_count: 1
--- groups
[{"name": "g", "backends": ["one", "free"], "health_check": {"type": "http", "path": "/up", "interval_ms": 100}}]
--- groups_2
[{"name": "g", "backends": ["one", "free"]}]
--- rules_2
[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
down(true)
await(1)
testing.reload()
ngx.say(testing.tally(20, "/x"), "; ", testing.metric("gateway_backends_down"))
down(false)
testing.use(2)
await(0)
ngx.say(testing.tally(20, "/x"))
--- response_body
one 20; 1
free 10, one 10
--- error_log
health checks failed: status 503
--- no_error_log
[error]



=== TEST 10: a group whose check is wrong is left out
--- groups
[{"name": "g", "backends": ["one"], "health_check": {"type": "icmp", "interval_ms": 0}}]
--- request
GET /x
--- error_code: 503
--- error_log
backend_group 'g' left out: health_check.type: 'icmp' is not one of http, tcp; health_check.interval_ms: 0 is not a whole number from 1 to 3600000
--- no_error_log
[alert]
