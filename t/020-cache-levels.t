# From which level a worker reads rules, certificates and groups: 3 the shelf, 2 the shared cache, 1 its own memory.

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

                -- The same for the groups, which each worker also fetches by itself once a second: a round into which that
                -- falls says nothing, and another is made.
                local function levels_of_groups(expected)
                    local got
                    testing.wait_until(function()
                        assert(require("gateway.caches").invalidate("groups", "backend_group"))
                        got = levels("groups", "")
                        return got == expected
                    end, SECONDS)
                    return got
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

=== TEST 1: of two workers one reads the rules from level 3, the others from level 2, and all then from level 1
--- worker_count
2
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                ngx.say(levels("rules", "http_tcp_80"))
                testing.use(2)
                ngx.say("after an update: ", levels("rules", "http_tcp_80"))
--- response_body
2 3, then 1
after an update: 2 3, then 1
--- timeout: 20
--- no_error_log
[error]



=== TEST 2: of two workers one reads a certificate from level 3, the others from level 2, and all then from level 1
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
                ngx.say(levels("certificate", "a.example"))
                testing.use(2)
                ngx.say("after an update: ", levels("certificate", "a.example"))
--- response_body
2 3, then 1
after an update: 2 3, then 1
--- timeout: 20
--- no_error_log
[error]



=== TEST 3: of two workers one reads the groups from level 3, the others from level 2, and all then from level 1
--- worker_count
2
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "one", "backends": ["two"]}]
--- lua
                local expected = "2 3, then 1"
                ngx.say(levels_of_groups(expected))
                testing.use(2)
                ngx.say("after an update: ", levels_of_groups(expected))
--- response_body
2 3, then 1
after an update: 2 3, then 1
--- timeout: 20
--- no_error_log
[error]



=== TEST 4: of four workers one reads the rules from level 3, the others from level 2, and all then from level 1
--- worker_count
4
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                ngx.say(levels("rules", "http_tcp_80"))
                testing.use(2)
                ngx.say("after an update: ", levels("rules", "http_tcp_80"))
--- response_body
2 2 2 3, then 1
after an update: 2 2 2 3, then 1
--- timeout: 20
--- no_error_log
[error]



=== TEST 5: of four workers one reads a certificate from level 3, the others from level 2, and all then from level 1
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
                ngx.say(levels("certificate", "a.example"))
                testing.use(2)
                ngx.say("after an update: ", levels("certificate", "a.example"))
--- response_body
2 2 2 3, then 1
after an update: 2 2 2 3, then 1
--- timeout: 20
--- no_error_log
[error]



=== TEST 6: of four workers one reads the groups from level 3, the others from level 2, and all then from level 1
--- worker_count
4
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "one", "backends": ["two"]}]
--- lua
                local expected = "2 2 2 3, then 1"
                ngx.say(levels_of_groups(expected))
                testing.use(2)
                ngx.say("after an update: ", levels_of_groups(expected))
--- response_body
2 2 2 3, then 1
after an update: 2 2 2 3, then 1
--- timeout: 20
--- no_error_log
[error]



=== TEST 7: what the policy does not have never enters the cache of certificates
--- worker_count
2
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                ngx.say(levels("certificate", "b.example"))
                ngx.say(#ngx.shared.cert_cache:get_keys(0), " keys")
--- response_body
3 3, then 3
0 keys
--- timeout: 20
--- no_error_log
[error]



=== TEST 8: a port without rules costs level 3 once for all workers
--- worker_count
2
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
                local by_worker = each_worker("/take?of=rules&key=http_tcp_81", 1, function(answer)
                    return answer.body:match("^%d")
                end)
                local threes = 0
                for _, list in pairs(by_worker) do
                    for _, level in ipairs(list) do
                        threes = threes + (level == "3" and 1 or 0)
                    end
                end
                ngx.say(threes)
--- response_body
1
--- timeout: 20
--- no_error_log
[error]
