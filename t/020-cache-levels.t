# The levels that values come from: 3 the shelf, 2 the dictionary that all workers share, 1 the worker's own memory.
#
# policy_interval is long, so that no worker looks by itself at what it holds: what happens, happens because of the asking or of an event.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: rules come from level 3 first, in another worker from level 2, and from then on from level 1
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]},
 {"rule": "b", "upstream": "one", "internal_dsl": [["EQ", "URL", "/b"]]}]
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(2)
        for _ = 1, 3 do
            ngx.say(workers:ask_all("rules/http_tcp_80"))
        end
    }
}
--- request
GET /t
--- response_body
3 a b; 2 a b
1 a b; 1 a b
1 a b; 1 a b
--- no_error_log
[error]



=== TEST 2: backend groups come from level 3 first, in another worker from level 2, and from then on from level 1
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- policy
{"backend_group": [{"name": "g", "mode": "http", "backends": []}, {"name": "h", "mode": "http", "backends": []}]}
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(2)
        for _ = 1, 2 do
            ngx.say(workers:ask_all("groups"))
        end
    }
}
--- request
GET /t
--- response_body
3 g h; 2 g h
1 g h; 1 g h
--- no_error_log
[error]



=== TEST 3: a certificate comes from level 3 first, in another worker from level 2, and from then on from level 1
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- certificates
{"a.example": "exact", "b.example": "default"}
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(2)
        local stamp = ngx.shared.policy:get("stamp/a.example")
        for _ = 1, 2 do
            ngx.say((workers:ask_all("certificate/a.example"):gsub(stamp, "its digest", 2)))
        end
    }
}
--- request
GET /t
--- response_body
3 its digest; 2 its digest
1 its digest; 1 its digest
--- no_error_log
[error]



=== TEST 4: after an update the rules come from level 3 once, from level 2 in the other worker, then from level 1 again
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- rules_2
[{"rule": "b", "upstream": "one", "internal_dsl": [["EQ", "URL", "/b"]]}]
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(2)
        workers:ask_all("rules/http_tcp_80")
        ngx.say(workers:ask_all("rules/http_tcp_80"))
        require("testing").use(2)
        for _ = 1, 2 do
            ngx.say(workers:ask_all("rules/http_tcp_80"))
        end
    }
}
--- request
GET /t
--- response_body
1 a; 1 a
3 b; 2 b
1 b; 1 b
--- no_error_log
[error]



=== TEST 5: after an update the groups come from level 3 once, from level 2 in the other worker, then from level 1 again
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- policy
{"backend_group": [{"name": "g", "mode": "http", "backends": []}]}
--- policy_2
{"backend_group": [{"name": "h", "mode": "http", "backends": []}]}
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(2)
        workers:ask_all("groups")
        ngx.say(workers:ask_all("groups"))
        require("testing").use(2)
        for _ = 1, 2 do
            ngx.say(workers:ask_all("groups"))
        end
    }
}
--- request
GET /t
--- response_body
1 g; 1 g
3 h; 2 h
1 h; 1 h
--- no_error_log
[error]



=== TEST 6: after an update a changed certificate comes from level 3 and 2, and one that did not change stays in level 1
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- certificates
{"a.example": "exact", "b.example": "default"}
--- certificates_2
{"a.example": "exact_new", "b.example": "default"}
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(2)
        local names = {}
        local function note(name)
            names[ngx.shared.policy:get("stamp/a.example")] = name
        end
        local function say(path)
            ngx.say((workers:ask_all(path):gsub("[^ ;]+", names)))
        end
        note("old")
        names[ngx.shared.policy:get("stamp/b.example")] = "other"
        say("certificate/a.example")
        say("certificate/b.example")
        require("testing").use(2)
        note("new")
        say("certificate/a.example")
        say("certificate/a.example")
        say("certificate/b.example")
    }
}
--- request
GET /t
--- response_body
3 old; 2 old
3 other; 2 other
3 new; 2 new
1 new; 1 new
1 other; 1 other
--- no_error_log
[error]



=== TEST 7: a change of one port leaves the rules of another port and the groups in level 1
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- https_rules
[{"rule": "b", "upstream": "one", "internal_dsl": [["EQ", "URL", "/b"]]}]
--- rules_2
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- https_rules_2
[{"rule": "c", "upstream": "one", "internal_dsl": [["EQ", "URL", "/c"]]}]
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(2)
        for _, path in ipairs({ "rules/http_tcp_80", "rules/http_tcp_443", "groups" }) do
            workers:ask_all(path)
        end
        require("testing").use(2)
        ngx.say(workers:ask_all("rules/http_tcp_80"))
        ngx.say(workers:ask_all("rules/http_tcp_443"))
        ngx.say((workers:ask_all("groups"):gsub("(%d) [^;]+", "%1")))
    }
}
--- request
GET /t
--- response_body
1 a; 1 a
3 c; 2 c
1; 1
--- no_error_log
[error]



=== TEST 8: a policy with the same content leaves everything in level 1
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        local workers = require("testing.workers").connect(2)
        workers:ask_all("rules/http_tcp_80")
        local text = testing.read(testing.path("policy.json"))
        testing.replace_policy(text .. "\n")
        ngx.say(testing.wait_until(function() return testing.generation() == 2 end, 3))
        ngx.say(workers:ask_all("rules/http_tcp_80"))
    }
}
--- request
GET /t
--- response_body
true
1 a; 1 a
--- no_error_log
[error]



=== TEST 9: a port without rules is looked up once, and its absence comes from level 1 afterwards
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(2)
        ngx.say(workers:ask_all("rules/http_tcp_81"))
        ngx.say(workers:ask_all("rules/http_tcp_81"))
    }
}
--- request
GET /t
--- response_body
3 nil; 2 nil
1 nil; 1 nil
--- no_error_log
[error]



=== TEST 10: a port that gets rules after its absence was cached has them from level 3
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- policy
{"http": {"tcp": {"80": []}}}
--- policy_2
{"http": {"tcp": {"81": [{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]}}}
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(2)
        workers:ask_all("rules/http_tcp_80")
        workers:ask_all("rules/http_tcp_81")
        require("testing").use(2)
        ngx.say(workers:ask_all("rules/http_tcp_81"))
        ngx.say(workers:ask_all("rules/http_tcp_80"))
    }
}
--- request
GET /t
--- response_body
3 a; 2 a
3 nil; 2 nil
--- no_error_log
[error]



=== TEST 11: names that the policy does not have never enter the certificates' cache
--- worker_count: 2
--- ask_workers
--- options: policy_interval = 60
--- certificates
{"a.example": "exact"}
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(2)
        ngx.say(workers:ask_all("certificate/nothing.example"))
        ngx.say(workers:ask_all("certificate/nothing.example"))
        ngx.say(workers:ask_all("certificate/http_tcp_80"))
        ngx.say(#ngx.shared.cert_cache:get_keys(0), " in level 2")
    }
}
--- request
GET /t
--- response_body
3 nil; 3 nil
3 nil; 3 nil
3 nil; 3 nil
0 in level 2
--- no_error_log
[error]



=== TEST 12: of four workers one reads the rules from level 3 and three from level 2, before and after an update
--- worker_count: 4
--- ask_workers
--- options: policy_interval = 60
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- rules_2
[{"rule": "b", "upstream": "one", "internal_dsl": [["EQ", "URL", "/b"]]}]
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(4)
        ngx.say(workers:ask_all("rules/http_tcp_80"))
        ngx.say(workers:ask_all("rules/http_tcp_80"))
        require("testing").use(2)
        ngx.say(workers:ask_all("rules/http_tcp_80"))
        ngx.say(workers:ask_all("rules/http_tcp_80"))
    }
}
--- request
GET /t
--- response_body
3 a; 2 a; 2 a; 2 a
1 a; 1 a; 1 a; 1 a
3 b; 2 b; 2 b; 2 b
1 b; 1 b; 1 b; 1 b
--- no_error_log
[error]



=== TEST 13: of four workers one reads a certificate from level 3 and three from level 2, before and after an update
--- worker_count: 4
--- ask_workers
--- options: policy_interval = 60
--- certificates
{"a.example": "exact"}
--- certificates_2
{"a.example": "exact_new"}
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(4)
        local function levels()
            return (workers:ask_all("certificate/a.example"):gsub("(%d) [^;]+", "%1"))
        end
        ngx.say(levels())
        ngx.say(levels())
        require("testing").use(2)
        ngx.say(levels())
        ngx.say(levels())
    }
}
--- request
GET /t
--- response_body
3; 2; 2; 2
1; 1; 1; 1
3; 2; 2; 2
1; 1; 1; 1
--- no_error_log
[error]



=== TEST 14: of four workers one reads the groups from level 3 and three from level 2, before and after an update
--- worker_count: 4
--- ask_workers
--- options: policy_interval = 60
--- policy
{"backend_group": [{"name": "g", "mode": "http", "backends": []}]}
--- policy_2
{"backend_group": [{"name": "h", "mode": "http", "backends": []}]}
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(4)
        ngx.say(workers:ask_all("groups"))
        ngx.say(workers:ask_all("groups"))
        require("testing").use(2)
        ngx.say(workers:ask_all("groups"))
        ngx.say(workers:ask_all("groups"))
    }
}
--- request
GET /t
--- response_body
3 g; 2 g; 2 g; 2 g
1 g; 1 g; 1 g; 1 g
3 h; 2 h; 2 h; 2 h
1 h; 1 h; 1 h; 1 h
--- no_error_log
[error]



=== TEST 15: four workers that ask at the same time read level 3 once
--- worker_count: 4
--- ask_workers
--- options: policy_interval = 60
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- config
location = /t {
    content_by_lua_block {
        local workers = require("testing.workers").connect(4)
        ngx.say(workers:ask_at_once("rules/http_tcp_80"))
        ngx.say(workers:ask_at_once("rules/http_tcp_80"))
    }
}
--- request
GET /t
--- response_body
2 a; 2 a; 2 a; 3 a
1 a; 1 a; 1 a; 1 a
--- no_error_log
[error]



=== TEST 16: while a worker makes the index of a large policy, its other requests are served by the one before
--- worker_count: 1
--- ask_workers
--- options: policy_interval = 60
--- rules
[{"rule": "old", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        local workers = require("testing.workers").connect(1)
        local others = workers:again(0)
        workers:ask(0, "rules/http_tcp_80")
        local rules = {}
        for i = 1, 5000 do
            rules[i] = ('{"rule":"r%d","upstream":"one","internal_dsl":[["EQ","URL","/%d"]]}'):format(i, i)
        end
        testing.replace_policy('{"http":{"tcp":{"80":[' .. table.concat(rules, ",") .. ']}}}')
        assert(testing.wait_until(function() return testing.generation() == 2 end, 5))
        local first = ngx.thread.spawn(workers.ask, workers, 0, "rules/http_tcp_80")
        ngx.sleep(0.005)
        ngx.say(others:ask(0, "rules/http_tcp_80"))
        local _, answer = ngx.thread.wait(first)
        ngx.say(answer:match("^%d r1 r2 r3 "))
        ngx.say(others:ask(0, "rules/http_tcp_80"):match("^%d r1 r2 r3 "))
    }
}
--- request
GET /t
--- response_body
4 old
3 r1 r2 r3 
1 r1 r2 r3 
--- no_error_log
[error]
