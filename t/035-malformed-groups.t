# In the place of a bad backend group the previous one stays, and a new bad one is left out; one line says what is wrong with it.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# The section `bad` is the bad group, in the place of a good one of the same name. Another good one follows.
my $Rules = '[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]';
each_block(
    rules => $Rules,
    groups => '[{"name": "own", "backends": ["one"]}]',
    rules_2 => $Rules,
    groups_2 => sub { defined $_[0]->bad ? '[' . $_[0]->bad . ']' : undef },
    rules_3 => $Rules,
    groups_3 => '[{"name": "own", "backends": ["three"]}]',
    lua => <<'_EOC_',
testing.use(2)
ngx.say(testing.who("/x"), ", generation ", testing.generation())
ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", errors: ", testing.logged("%[error%]"))
testing.use(3)
ngx.say(testing.wait_until(function() return testing.who("/x") == "three" end, 3) and "three" or "not taken")
_EOC_
    response_body => "one, generation 2\nleft out: 1, errors: 1\nthree\n",
    no_error_log => "[alert]\n[crit]\n",
);

run_tests();

__DATA__

=== TEST 1: in place of a group of unknown mode the previous one stays
--- bad
{"name": "own", "mode": "smtp", "backends": ["two"]}
--- error_log
backend_group 'own' refused, the previous one stays in force: mode: 'smtp' is not one of grpc, http, https, tcp, udp



=== TEST 2: in place of a group whose backends are a text the previous one stays
--- bad
{"name": "own", "backends": "two"}
--- error_log
backend_group 'own' refused, the previous one stays in force: backends: a text, not a list



=== TEST 3: in place of a group of unknown affinity the previous one stays
--- bad
{"name": "own", "session_affinity_policy": "moon", "backends": ["two"]}
--- error_log
backend_group 'own' refused, the previous one stays in force: session_affinity_policy: 'moon' is not one of cookie, header, sip-hash



=== TEST 4: a new group of unknown mode is left out, the other rules serve
--- groups
[]
--- bad
{"name": "own", "mode": "smtp", "backends": ["two"]}
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "own", "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
testing.use(2)
assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
--- response_body
two, 503
left out: 1, refused: 0
--- error_log
backend_group 'own' left out: mode: 'smtp' is not one of grpc, http, https, tcp, udp



=== TEST 5: a group without a name is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": [{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]}},
 "backend_group": [{"mode": "http", "backends": []},
  {"name": "two", "mode": "http", "backends": [{"address": "127.0.0.1", "port": $PORT_TWO, "weight": 1}]}]}
--- lua
testing.use(2)
assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
--- response_body
two, two
left out: 1, refused: 0
--- error_log
backend_group [0] left out: name: missing
