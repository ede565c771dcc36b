# What changes in the policy reaches every worker, and what does not change stays where it is.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# Connections to this port are spread over the workers by the kernel, so that a test reaches each of them.
my $EachWorker = <<'_EOC_';
    server {
        listen 127.0.0.1:$TEST_NGINX_PORT_FREE reuseport;
        add_header X-Worker $pid always;
        location = /take {
            content_by_lua_block {
                local caches = require "gateway.caches"
                assert(caches.update())
                local value, err, level = caches[ngx.var.arg_of](ngx.var.arg_key)
                ngx.print(level, " ", err or (value and value.stamp), " ", tostring(value))
            }
        }
        include $GATEWAY_CONF_DIR/routes.conf;
    }
_EOC_

# What the Lua code of each block begins with.
my $Prelude = <<'_EOC_';
                local testing = require "testing"
                local SECONDS = 5

                -- One answer of each worker at least `times` times: lists of what `read(answer)` made of them, by worker.
                local function each_worker(path, times, read)
                    local by_worker, workers, done = {}, 0, 0
                    assert(testing.wait_until(function()
                        local answer = assert(testing.request(path, { to = "free" }))
                        local worker = answer.headers["x-worker"]
                        local list = by_worker[worker]
                        if not list then
                            list, workers = {}, workers + 1
                            by_worker[worker] = list
                        end
                        list[#list + 1] = read(answer)
                        done = done + (#list == times and 1 or 0)
                        return done == ngx.worker.count()
                    end, SECONDS), "not every worker was reached")
                    return by_worker
                end

                -- What each worker answered first, and all that any of them answered later, as "2 3, then 1".
                local function first_and_later(by_worker)
                    local first, later, known = {}, {}, {}
                    for _, list in pairs(by_worker) do
                        first[#first + 1] = list[1]
                        for i = 2, #list do
                            if not known[list[i]] then
                                known[list[i]] = true
                                later[#later + 1] = list[i]
                            end
                        end
                    end
                    table.sort(first)
                    table.sort(later)
                    return table.concat(first, " ") .. ", then " .. table.concat(later, " ")
                end

                local function levels(of, key)
                    return first_and_later(each_worker("/take?of=" .. of .. "&key=" .. key, 2, function(answer)
                        return answer.body:match("^%d") or answer.status
                    end))
                end

                -- The seconds until the answers of all workers were as expected, and then stayed so.
                local function everywhere(path, expected, since)
                    local function is_there()
                        for _, list in pairs(each_worker(path, 1, function(answer)
                            return tostring(answer.headers["x-backend"] or answer.status)
                        end)) do
                            for _, got in ipairs(list) do
                                if got ~= expected then
                                    return false
                                end
                            end
                        end
                        return true
                    end
                    local start
                    testing.wait_until(function()
                        -- A round takes a while by itself; what counts is when the first one without an old answer began.
                        ngx.update_time()
                        start = ngx.now()
                        return is_there()
                    end, SECONDS)
                    local took = start - since
                    if not is_there() then
                        return "an old answer came again"
                    end
                    return took <= 1.2 and "everywhere" or "too late: " .. took
                end

                -- The identity of what each worker holds, when all of it comes from L1: "<worker> <stamp> <table>", sorted.
                local function held(of, key)
                    local lines = {}
                    for worker, list in pairs(each_worker("/take?of=" .. of .. "&key=" .. key, 2, function(answer)
                        return answer.body
                    end)) do
                        lines[#lines + 1] = worker .. " " .. list[#list]
                    end
                    table.sort(lines)
                    return table.concat(lines, "\n")
                end

                local function use(n)
                    ngx.update_time()
                    local since = ngx.now()
                    testing.use(n, 0)
                    return since
                end
_EOC_

add_block_preprocessor(sub {
    my $block = shift;
    workers($block->worker_count);
    my $conf = $ENV{GATEWAY_CONF_DIR} || '/etc/gateway';
    (my $server = $EachWorker) =~ s/\$GATEWAY_CONF_DIR/$conf/;
    my $lua = $block->lua;
    $block->set_value('http_config', $block->http_config . $server);
    $block->set_value('config', $block->config . "location = /t {\n content_by_lua_block {\n$Prelude$lua\n}\n}\n");
    $block->set_value('request', 'GET /t');
});

run_tests();

__DATA__

=== TEST 1: a changed rule reaches each of two workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
2
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                ngx.say(everywhere("/", "one", ngx.now()))
                ngx.say("after an update: ", everywhere("/", "two", use(2)))
--- response_body
everywhere
after an update: everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 2: a removed rule is gone from each of two workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
2
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "b", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "b", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                ngx.say(everywhere("/a", "one", ngx.now()))
                ngx.say("after an update: ", everywhere("/a", "two", use(2)))
--- response_body
everywhere
after an update: everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 3: after its only rule was removed a port has no rules in each of two workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
2
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[]
--- lua
                ngx.say(everywhere("/", "one", ngx.now()))
                ngx.say("after an update: ", everywhere("/", "404", use(2)))
--- response_body
everywhere
after an update: everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 4: a changed group reaches each of two workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
2
--- rules
[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "g", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "g", "backends": ["three"]}]
--- lua
                ngx.say(everywhere("/", "one", ngx.now()))
                ngx.say("after an update: ", everywhere("/", "three", use(2)))
--- response_body
everywhere
after an update: everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 5: a changed certificate reaches each of two workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
2
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates
{"a.example": "exact"}
--- rules_2
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates_2
{"a.example": "exact_new"}
--- lua
                local function stamps()
                    local by_worker = each_worker("/take?of=certificate&key=a.example", 1, function(answer)
                        return answer.body:match("^%d (%S+)")
                    end)
                    local known, list = {}, {}
                    for _, got in pairs(by_worker) do
                        for _, stamp in ipairs(got) do
                            if not known[stamp] then
                                known[stamp] = true
                                list[#list + 1] = stamp
                            end
                        end
                    end
                    return #list == 1 and list[1]
                end
                local before = stamps()
                ngx.say(before and "one certificate" or "several")
                use(2)
                ngx.say(testing.wait_until(function()
                    local after = stamps()
                    return after and after ~= before
                end, 1.2) and "another everywhere" or "too late")
--- response_body
one certificate
another everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 6: an event makes each of two workers let go its value at the next request
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
2
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                levels("rules", "http_tcp_80")
                ngx.say(levels("rules", "http_tcp_80"))
                assert(require("gateway.caches").invalidate("rules", "http_tcp_80"))
                ngx.say("after an event: ", levels("rules", "http_tcp_80"))
--- response_body
1 1, then 1
after an event: 2 3, then 1
--- timeout: 20
--- no_error_log
[error]



=== TEST 7: a change whose event was lost is noticed by each of two workers within a second
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
2
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "b", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                local cjson = require "cjson.safe"
                ngx.say(everywhere("/a", "one", ngx.now()))
                -- The shelf changes, and nobody tells the workers.
                local dict = ngx.shared.policy
                local list = cjson.decode(dict:get("http_tcp_80"))
                table.remove(list.members, 1)
                list.version = list.version + 100
                ngx.update_time()
                local since = ngx.now()
                assert(dict:safe_set("http_tcp_80", cjson.encode(list)))
                assert(dict:safe_set("stamp/http_tcp_80", list.version))
                ngx.say("after the change: ", everywhere("/a", "two", since))
--- response_body
everywhere
after the change: everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 8: the rules of a port that did not change stay in level 1 of each of two workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
2
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                held("rules", "http_tcp_80")
                held("rules", "http_tcp_443")
                local before, other_before = held("rules", "http_tcp_80"), held("rules", "http_tcp_443")
                testing.use(2)
                ngx.say("the other port: ", levels("rules", "http_tcp_443"))
                ngx.say(held("rules", "http_tcp_443") ~= other_before and "has changed" or "is the same")
                ngx.say("this port: ", levels("rules", "http_tcp_80"))
                ngx.say(held("rules", "http_tcp_80") == before and "is the same" or "has changed")
--- response_body
the other port: 2 3, then 1
has changed
this port: 1 1, then 1
is the same
--- timeout: 20
--- no_error_log
[error]



=== TEST 9: a changed rule reaches each of four workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
4
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                ngx.say(everywhere("/", "one", ngx.now()))
                ngx.say("after an update: ", everywhere("/", "two", use(2)))
--- response_body
everywhere
after an update: everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 10: a removed rule is gone from each of four workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
4
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "b", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "b", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                ngx.say(everywhere("/a", "one", ngx.now()))
                ngx.say("after an update: ", everywhere("/a", "two", use(2)))
--- response_body
everywhere
after an update: everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 11: after its only rule was removed a port has no rules in each of four workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
4
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[]
--- lua
                ngx.say(everywhere("/", "one", ngx.now()))
                ngx.say("after an update: ", everywhere("/", "404", use(2)))
--- response_body
everywhere
after an update: everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 12: a changed group reaches each of four workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
4
--- rules
[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "g", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "g", "backends": ["three"]}]
--- lua
                ngx.say(everywhere("/", "one", ngx.now()))
                ngx.say("after an update: ", everywhere("/", "three", use(2)))
--- response_body
everywhere
after an update: everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 13: a changed certificate reaches each of four workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
4
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates
{"a.example": "exact"}
--- rules_2
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates_2
{"a.example": "exact_new"}
--- lua
                local function stamps()
                    local by_worker = each_worker("/take?of=certificate&key=a.example", 1, function(answer)
                        return answer.body:match("^%d (%S+)")
                    end)
                    local known, list = {}, {}
                    for _, got in pairs(by_worker) do
                        for _, stamp in ipairs(got) do
                            if not known[stamp] then
                                known[stamp] = true
                                list[#list + 1] = stamp
                            end
                        end
                    end
                    return #list == 1 and list[1]
                end
                local before = stamps()
                ngx.say(before and "one certificate" or "several")
                use(2)
                ngx.say(testing.wait_until(function()
                    local after = stamps()
                    return after and after ~= before
                end, 1.2) and "another everywhere" or "too late")
--- response_body
one certificate
another everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 14: an event makes each of four workers let go its value at the next request
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
4
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                levels("rules", "http_tcp_80")
                ngx.say(levels("rules", "http_tcp_80"))
                assert(require("gateway.caches").invalidate("rules", "http_tcp_80"))
                ngx.say("after an event: ", levels("rules", "http_tcp_80"))
--- response_body
1 1 1 1, then 1
after an event: 2 2 2 3, then 1
--- timeout: 20
--- no_error_log
[error]



=== TEST 15: a change whose event was lost is noticed by each of four workers within a second
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
4
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "b", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                local cjson = require "cjson.safe"
                ngx.say(everywhere("/a", "one", ngx.now()))
                -- The shelf changes, and nobody tells the workers.
                local dict = ngx.shared.policy
                local list = cjson.decode(dict:get("http_tcp_80"))
                table.remove(list.members, 1)
                list.version = list.version + 100
                ngx.update_time()
                local since = ngx.now()
                assert(dict:safe_set("http_tcp_80", cjson.encode(list)))
                assert(dict:safe_set("stamp/http_tcp_80", list.version))
                ngx.say("after the change: ", everywhere("/a", "two", since))
--- response_body
everywhere
after the change: everywhere
--- timeout: 20
--- no_error_log
[error]



=== TEST 16: the rules of a port that did not change stay in level 1 of each of four workers
--- options: ports = "$TEST_NGINX_PORT_FREE=80,$TEST_NGINX_PORT_HTTPS=443"
--- worker_count
4
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                held("rules", "http_tcp_80")
                held("rules", "http_tcp_443")
                local before, other_before = held("rules", "http_tcp_80"), held("rules", "http_tcp_443")
                testing.use(2)
                ngx.say("the other port: ", levels("rules", "http_tcp_443"))
                ngx.say(held("rules", "http_tcp_443") ~= other_before and "has changed" or "is the same")
                ngx.say("this port: ", levels("rules", "http_tcp_80"))
                ngx.say(held("rules", "http_tcp_80") == before and "is the same" or "has changed")
--- response_body
the other port: 2 2 2 3, then 1
has changed
this port: 1 1 1 1, then 1
is the same
--- timeout: 20
--- no_error_log
[error]
