# A bad backend is left out with one line, which says what is wrong with it; the others of its group serve.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# The section `bad` is the bad backend, which stands in its group before a good one.
my $Rules = '[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]';
each_block(
    rules => $Rules,
    groups => '[{"name": "own", "backends": ["one"]}]',
    rules_2 => $Rules,
    groups_2 => sub { '[{"name": "own", "backends": [' . $_[0]->bad . ', "two"]}]' },
    lua => <<'_EOC_',
testing.use(2)
assert(testing.wait_until(function() return testing.tally(2, "/x") == "two 2" end, 3), "the good backend does not serve")
ngx.say(testing.tally(6, "/x"))
ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", errors: ", testing.logged("%[error%]"))
_EOC_
    response_body => "two 6\nleft out: 1, errors: 1\n",
    no_error_log => "[alert]\n[crit]\n",
);

run_tests();

__DATA__

=== TEST 1: a backend without address is left out, the others serve
--- bad
{"port": 80, "weight": 1}
--- error_log
backend_group 'own': backend left out: backends[0].address: missing



=== TEST 2: a backend whose address is a number is left out, the others serve
--- bad
{"address": 7, "port": 80}
--- error_log
backend_group 'own': backend left out: backends[0].address: a number, not a text



=== TEST 3: a backend whose address is a name is left out, the others serve
--- bad
{"address": "a.example", "port": 80}
--- error_log
backend_group 'own': backend left out: backends[0].address: 'a.example' is not an IP address



=== TEST 4: a backend without port is left out, the others serve
--- bad
{"address": "127.0.0.1"}
--- error_log
backend_group 'own': backend left out: backends[0].port: missing



=== TEST 5: a backend of negative weight is left out, the others serve
--- bad
{"address": "127.0.0.1", "port": 80, "weight": -1}
--- error_log
backend_group 'own': backend left out: backends[0].weight: -1 is not a whole number from 0 to 1000000



=== TEST 6: a backend whose port is a text is left out, the others serve
--- bad
{"address": "127.0.0.1", "port": "80"}
--- error_log
backend_group 'own': backend left out: backends[0].port: a text, not a number



=== TEST 7: a backend whose weight is a text is left out, the others serve
--- bad
{"address": "127.0.0.1", "port": 80, "weight": "1"}
--- error_log
backend_group 'own': backend left out: backends[0].weight: a text, not a number
