# From which level a worker reads rules, certificates and groups: 3 the shelf, 2 the shared cache, 1 its own memory.
#
# policy_interval is 60, so that no worker compares within the test what it holds with the shelf: only events can have told it.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# Workers are asked one after the other, twice before an update, and after it until each has the new value in its own memory: it
# fetches that by itself, or a request does, whichever comes first.
each_block(
    ask_workers => '',
    options => 'policy_interval = 60',
    lua => sub {
        my ($count, $what) = map { s/\s+\z//r } $_[0]->worker_count, $_[0]->ask;
        return <<"_EOC_";
local workers = require("testing.workers").connect($count)
ngx.say(workers:ask_all("$what"))
local before, now = workers:ask_all("$what"), nil
ngx.say(before)
testing.use(2)
assert(testing.wait_until(function()
    now = workers:ask_all("$what")
    return now ~= before and not now:find("[234] ")
end, 5), now)
ngx.say(now)
_EOC_
    },
);

run_tests();

__DATA__

=== TEST 1: of two workers one reads the rules from level 3, the other from level 2, and both then from level 1
--- worker_count: 2
--- ask: rules/http_tcp_80
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "b", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- response_body
3 a; 2 a
1 a; 1 a
1 b; 1 b
--- no_error_log
[error]



=== TEST 2: of two workers one reads a certificate from level 3, the other from level 2, and both then from level 1
--- worker_count: 2
--- ask: certificate/a.example
--- certificates
{"a.example": "exact"}
--- certificates_2
{"a.example": "exact_new"}
--- response_body_like
\A3 (\S+); 2 \1
1 \1; 1 \1
1 (?!\1)(\S+); 1 \2
--- no_error_log
[error]



=== TEST 3: of two workers one reads the groups from level 3, the other from level 2, and both then from level 1
--- worker_count: 2
--- ask: groups
--- policy
{"backend_group": [{"name": "a", "mode": "http", "backends": []}]}
--- policy_2
{"backend_group": [{"name": "b", "mode": "http", "backends": []}]}
--- response_body
3 a; 2 a
1 a; 1 a
1 b; 1 b
--- no_error_log
[error]



=== TEST 4: of four workers one reads the rules from level 3, the others from level 2, and all then from level 1
--- worker_count: 4
--- ask: rules/http_tcp_80
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "b", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- response_body
3 a; 2 a; 2 a; 2 a
1 a; 1 a; 1 a; 1 a
1 b; 1 b; 1 b; 1 b
--- no_error_log
[error]



=== TEST 5: of four workers one reads a certificate from level 3, the others from level 2, and all then from level 1
--- worker_count: 4
--- ask: certificate/a.example
--- certificates
{"a.example": "exact"}
--- certificates_2
{"a.example": "exact_new"}
--- response_body_like
\A3 (\S+); 2 \1; 2 \1; 2 \1
1 \1; 1 \1; 1 \1; 1 \1
1 (?!\1)(\S+); 1 \2; 1 \2; 1 \2
--- no_error_log
[error]



=== TEST 6: of four workers one reads the groups from level 3, the others from level 2, and all then from level 1
--- worker_count: 4
--- ask: groups
--- policy
{"backend_group": [{"name": "a", "mode": "http", "backends": []}]}
--- policy_2
{"backend_group": [{"name": "b", "mode": "http", "backends": []}]}
--- response_body
3 a; 2 a; 2 a; 2 a
1 a; 1 a; 1 a; 1 a
1 b; 1 b; 1 b; 1 b
--- no_error_log
[error]



=== TEST 7: what the policy does not have never enters the cache of certificates
--- worker_count: 2
--- lua
local workers = require("testing.workers").connect(2)
ngx.say(workers:ask_all("certificate/b.example"))
ngx.say(workers:ask_all("certificate/b.example"))
ngx.say(#ngx.shared.cert_cache:get_keys(0), " keys")
--- response_body
3 nil; 3 nil
3 nil; 3 nil
0 keys
--- no_error_log
[error]
