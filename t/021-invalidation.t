# A change of the policy reaches each of four workers, and unchanged parts stay where they are.
#
# Where policy_interval is 60, no worker compares within the test what it holds, so that only events can have told it. All are told
# within 1.2 seconds.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# The section `change` is a path and the backend (or status) that it goes to after the update.
each_block(
    worker_count => 4,
    ask_workers => '',
    options => 'policy_interval = 60',
    lua => sub {
        my ($path, $after) = split ' ', $_[0]->change;
        return <<"_EOC_";
local workers = require("testing.workers").connect(4)
ngx.say(workers:who_all("$path"))
testing.use(2, 0)
assert(workers:wait_for_backend("$path", "$after", 1.2))
ngx.say(workers:who_all("$path"))
_EOC_
    },
);

run_tests();

__DATA__

=== TEST 1: a changed rule reaches each worker
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- change: / two
--- response_body
one; one; one; one
two; two; two; two
--- no_error_log
[error]



=== TEST 2: a removed rule is gone from each worker
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "b", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "b", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- change: /a two
--- response_body
one; one; one; one
two; two; two; two
--- no_error_log
[error]



=== TEST 3: after its only rule was removed a port has no rules in each worker
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[]
--- change: / 404
--- response_body
one; one; one; one
404; 404; 404; 404
--- no_error_log
[error]



=== TEST 4: a changed group reaches each worker
--- rules
[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "g", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "g", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "g", "backends": ["three"]}]
--- change: / three
--- response_body
one; one; one; one
three; three; three; three
--- no_error_log
[error]



=== TEST 5: a changed certificate reaches each worker
--- certificates
{"a.example": "exact"}
--- certificates_2
{"a.example": "exact_new"}
--- lua
local workers = require("testing.workers").connect(4)
local function stamp() return ngx.shared.policy:get("stamp/a.example") end
testing.await_reader()
local old = stamp()
assert(workers:wait_for("certificate/a.example", old, 5))
testing.use(2, 0)
assert(testing.wait_until(function() return stamp() ~= old end, 1.2), "the certificate does not change")
assert(workers:wait_for("certificate/a.example", stamp(), 1.2))
ngx.say("everywhere")
--- response_body
everywhere
--- no_error_log
[error]



=== TEST 6: the rules of a port that did not change stay in level 1 of each worker
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "a", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[{"rule": "b", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local workers = require("testing.workers").connect(4)
workers:ask_all("rules/http_tcp_80")
workers:ask_all("rules/http_tcp_443")
local before = workers:ask_all("index/http_tcp_80")
testing.use(2)
ngx.say(workers:ask_all("index/http_tcp_80") == before and "the same" or "others")
ngx.say(workers:ask_all("rules/http_tcp_80"))
assert(workers:wait_for("rules/http_tcp_443", "b", 2))
ngx.say(workers:ask_all("rules/http_tcp_443"))
--- response_body
the same
1 a; 1 a; 1 a; 1 a
1 b; 1 b; 1 b; 1 b
--- no_error_log
[error]



=== TEST 7: a change whose event was lost is noticed by each worker when it compares what it holds
--- options: policy_interval = 1
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "b", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local cjson = require "cjson.safe"
local workers = require("testing.workers").connect(4)
ngx.say(workers:who_all("/a"))
-- The shelf changes, and no process tells the workers.
local dict = ngx.shared.policy
local list = cjson.decode(dict:get("http_tcp_80"))
table.remove(list.members, 1)
list.version = list.version + 100
assert(dict:safe_set("http_tcp_80", cjson.encode(list)))
assert(dict:safe_set("stamp/http_tcp_80", list.version))
assert(workers:wait_for_backend("/a", "two", 1.2))
ngx.say(workers:who_all("/a"))
--- response_body
one; one; one; one
two; two; two; two
--- no_error_log
[error]



=== TEST 8: without its event a change is not seen before the worker compares what it holds
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a"]]}]
--- lua
local workers = require("testing.workers").connect(4)
workers:ask_all("rules/http_tcp_80")
-- As if the reader had been killed before it could tell the workers.
ngx.shared.policy:safe_set("http_tcp_80", '{"key":"http_tcp_80","version":9,"members":[]}')
ngx.shared.policy:safe_set("stamp/http_tcp_80", 9)
ngx.sleep(1.5)
ngx.say(workers:ask_all("rules/http_tcp_80"))
--- response_body
1 a; 1 a; 1 a; 1 a
--- no_error_log
[error]
