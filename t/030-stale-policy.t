# While the policy file is broken the policy before it serves; what is wrong is said once.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

workers(2);

run_tests();

__DATA__

=== TEST 1: the same broken file is refused and logged once
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": [
--- lua
local function lines() return testing.logged(" refused, the previous policy stays") end

testing.use(2, 0)
testing.await_refusals(1)
for _ = 1, 3 do
    testing.use(2, 0)
    assert(not testing.wait_until(function() return lines() > 1 end, 0.5), "refused again")
end
ngx.say(lines(), " line, counted: ", testing.metric("gateway_policy_errors_total"), ", served by ", testing.who("/x"))
--- response_body
1 line, counted: 1, served by one
--- error_log
refused, the previous policy stays in force: line 2, column 1: the text ends here
--- no_error_log
[alert]
[crit]



=== TEST 2: another broken file is logged too
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": [
--- policy_3
[]
--- lua
for n = 2, 3 do
    testing.use(n, 0)
    testing.await_refusals(n - 1)
end
ngx.say(testing.logged(" refused, the previous policy stays"), " lines, counted: ", testing.metric("gateway_policy_errors_total"),
        ", served by ", testing.who("/x"))
--- response_body
2 lines, counted: 2, served by one
--- error_log
refused, the previous policy stays in force: line 2, column 1: the text ends here
refused, the previous policy stays in force: line 1, column 1: the policy is not an object
--- no_error_log
[alert]
[crit]



=== TEST 3: a file that is broken again after a good one is logged again
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": [
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
for round = 1, 2 do
    testing.use(2, 0)
    testing.await_refusals(round)
    testing.use(3, 0)
    assert(testing.wait_until(function() return testing.status().last_error == ngx.null and testing.who("/x") == "two" end, 3))
end
ngx.say(testing.logged(" refused, the previous policy stays"), " lines, generation ", testing.generation())
--- response_body
2 lines, generation 2
--- error_log
refused, the previous policy stays in force: line 2, column 1: the text ends here
--- no_error_log
[alert]
[crit]



=== TEST 4: a good file after a broken one is taken
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": [
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
testing.use(2, 0)
testing.await_refusals(1)
ngx.say(testing.who("/x"), ", generation ", testing.generation())
testing.use(3)
assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
ngx.say(testing.who("/x"), ", generation ", testing.generation())
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: 
--- no_error_log
[alert]
[crit]



=== TEST 5: no request fails while the file is broken over and over
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": [
--- policy_3
{"http": []}
--- lua
local load = require("testing.load").requests(3, "/x?close=1", 200)
for round = 1, 2 do
    for n = 2, 3 do
        testing.use(n, 0)
        testing.await_refusals(round * 2 + n - 3)
    end
end
ngx.say(load:report(50))
--- response_body
0 failed
--- timeout: 15
--- error_log
refused, the previous policy stays in force: line 1, column 10: http is not an object
--- no_error_log
[alert]
[crit]



=== TEST 6: a broken file at the first start leaves a gateway that serves the first good one
--- policy
{"http": {"tcp": {"80": [
--- rules_2
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
testing.await_refusals(1)
ngx.say("generation ", testing.generation())
testing.use(2)
ngx.say(testing.who("/x"), ", generation ", testing.generation())
--- response_body
generation 0
one, generation 1
--- error_log
refused, no policy is in force yet: line 2, column 1: the text ends here
--- no_error_log
[alert]
[crit]



=== TEST 7: a bad rule that stays as it is is logged once
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "internal_dsl": 7},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_3
[{"rule": "bad", "upstream": "one", "internal_dsl": 7},
 {"rule": "r", "upstream": "three", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
testing.use(2)
assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "not taken: 2")
testing.use(3)
assert(testing.wait_until(function() return testing.who("/x") == "three" end, 3), "not taken: 3")
ngx.say(testing.logged("rule 'bad' left out"), " line, left out: ", testing.metric("gateway_policy_left_out"))
--- response_body
1 line, left out: 2
--- error_log
http tcp port 443: rule 'bad' left out: internal_dsl: a number, not a list
--- no_error_log
[alert]
[crit]
