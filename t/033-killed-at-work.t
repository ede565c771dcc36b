# Processes that are killed in the middle of their work: others finish their work, and locks that they held delay no request for long.
#
# A request says in its answer which processes are to be killed ("kill PID ..."); the test does it, because the request might be
# served by one of them. The next request tells what came of it.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

add_response_body_check(sub {
    my ($block, $body, $req_idx, $repeated_req_idx, $dry_run) = @_;
    return if $dry_run || $body !~ /^kill ([\d ]+)$/m;
    kill 'KILL', split ' ', $1;
});

# Lua that several blocks begin with.
my $Large = <<'_EOC_';
        -- A policy of so many rules, the last of which redirects /last to /<mark>.
        local function large_policy(count, mark)
            local rules = {}
            for i = 1, count do
                rules[i] = ('{"rule":"r%d","upstream":"one","vhost":"%s","internal_dsl":[["EQ","URL","/%d"]]}'):format(i, mark, i)
            end
            rules[count + 1] = ('{"rule":"last","redirect_url":"/%s","internal_dsl":[["EQ","URL","/last"]]}'):format(mark)
            return '{"http":{"tcp":{"80":[' .. table.concat(rules, ",") .. ']}}}'
        end
_EOC_

add_block_preprocessor(sub {
    my $block = shift;
    my $config = $block->config;
    $config =~ s/^\s*-- LARGE\n/$Large/mg;
    $block->set_value('config', $config);
});

run_tests();

__DATA__

=== TEST 1: the reader is killed while it takes a large policy in, at three moments
--- worker_count: 2
--- ask_workers
--- rules
[{"rule": "last", "redirect_url": "/first", "internal_dsl": [["EQ", "URL", "/last"]]}]
--- config
location = /before {
    content_by_lua_block {
        local testing = require "testing"
        -- LARGE
        ngx.shared.metrics:set("began", ngx.now())
        testing.replace_policy(large_policy(20000, "mark" .. ngx.var.arg_round))
        ngx.sleep(tonumber(ngx.var.arg_delay))
        ngx.say("kill ", ngx.shared.policy:get("/reader"))
    }
}
location = /after {
    content_by_lua_block {
        local testing = require "testing"
        local workers = require("testing.workers").connect(2)
        local new = "/mark" .. ngx.var.arg_round
        local ok = testing.wait_until(function()
            local answer = testing.request("/last")
            return answer and answer.headers.location and answer.headers.location:sub(-#new) == new
        end, 5)
        ngx.update_time()
        local seconds = ngx.now() - ngx.shared.metrics:get("began")
        ngx.say(ok and (seconds < 4 and "in force" or "in force after " .. seconds .. " s") or "never")
        local staged = 0
        for _, key in ipairs(ngx.shared.policy:get_keys(0)) do
            staged = staged + (key:find("^staged/") and 1 or 0)
        end
        ngx.say(workers:wait_for("rules/http_tcp_81", "nil", 2) and "both answer, " or "not both answer, ", staged, " staged")
    }
}
--- request eval
["GET /before?delay=0.05&round=1", "GET /after?round=1", "GET /before?delay=0.12&round=2", "GET /after?round=2",
 "GET /before?delay=0.25&round=3", "GET /after?round=3"]
--- response_body_like eval
[(qr/\Akill \d+\n\z/, qr/\Ain force\nboth answer, 0 staged\n\z/) x 3]
--- timeout: 30
--- no_error_log
[error]



=== TEST 2: a worker is killed while it makes the index of a large policy, and holds the lock of the cache
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- config
location = /before {
    content_by_lua_block {
        local testing = require "testing"
        -- LARGE
        testing.replace_policy(large_policy(30000, "x"))
        assert(testing.wait_until(function() return testing.generation() == 2 end, 10), "not taken")
        local workers = require("testing.workers").connect(2)
        workers:ask_in_vain(1, "rules/http_tcp_80")
        assert(testing.wait_until(function() return #ngx.shared.locks:get_keys(0) == 1 end, 5), "no lock is held")
        ngx.say("kill ", workers[1].pid)
    }
}
location = /after {
    content_by_lua_block {
        local workers = require("testing.workers").connect(2)
        ngx.update_time()
        local began = ngx.now()
        ngx.say(workers:ask(0, "rules/http_tcp_80"):match("^%d+ r1 r2 ") and "it answers")
        ngx.update_time()
        local seconds = ngx.now() - began
        ngx.say(seconds < 3 and "in time" or "after " .. seconds .. " s")
    }
}
--- request eval
["GET /before", "GET /after"]
--- response_body_like eval
[qr/\Akill \d+\n\z/, qr/\Ait answers\nin time\n\z/]
--- timeout: 30
--- no_error_log
[error]



=== TEST 3: all workers are killed at once, and the policy stays in force
--- worker_count: 4
--- ask_workers
--- rules
[{"rule": "a", "redirect_url": "/first", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- rules_2
[{"rule": "a", "redirect_url": "/second", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- config
location = /before {
    content_by_lua_block {
        local workers = require("testing.workers").connect(4)
        workers:ask_all("rules/http_tcp_80")
        ngx.say("kill ", workers[0].pid, " ", workers[1].pid, " ", workers[2].pid, " ", workers[3].pid)
    }
}
location = /after {
    content_by_lua_block {
        local testing = require "testing"
        ngx.say(testing.request("/a").headers.location)
        local generation = testing.generation()
        testing.use(2, 2)
        local workers = require("testing.workers").connect(4)
        ngx.say(generation, " ", testing.generation(), " ", (workers:ask_all("rules/http_tcp_80"):gsub("%d ", "")))
        ngx.say(testing.request("/a").headers.location)
    }
}
--- request eval
["GET /before", "GET /after"]
--- response_body_like eval
[qr/\Akill (\d+ ){3}\d+\n\z/, qr{\A\S*/first\n1 2 a; a; a; a\n\S*/second\n\z}]
--- timeout: 10
--- no_error_log
[error]



=== TEST 4: the reader is killed again and again while the file keeps changing, and the last file is in force in the end
--- worker_count: 2
--- ask_workers
--- rules
[{"rule": "last", "redirect_url": "/first", "internal_dsl": [["EQ", "URL", "/last"]]}]
--- config
location = /before {
    content_by_lua_block {
        local testing = require "testing"
        -- LARGE
        for i = 1, 10 do
            testing.replace_policy(large_policy(200, ngx.var.arg_round .. "-" .. i))
            ngx.sleep(0.02)
        end
        ngx.say("kill ", ngx.shared.policy:get("/reader"))
    }
}
location = /after {
    content_by_lua_block {
        local testing = require "testing"
        ngx.say(testing.wait_until(function()
            local answer = testing.request("/last")
            return answer and answer.headers.location:sub(-5) == "/5-10"
        end, 2.5) and "the last" or testing.request("/last").headers.location)
    }
}
--- request eval
[(map { "GET /before?round=$_" } 1 .. 5), "GET /after"]
--- response_body_like eval
[(qr/\Akill \d+\n\z/) x 5, qr/\Athe last\n\z/]
--- timeout: 10
--- no_error_log
[error]
