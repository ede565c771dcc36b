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
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        local function lines()
            local _, count = testing.read(ngx.config.prefix() .. "logs/error.log"):gsub(" refused, the previous policy stays", "")
            return count
        end

        testing.use(2, 0)
        assert(testing.wait_until(function() return lines() == 1 end, 3), "not refused")
        for _ = 1, 3 do
            testing.use(2, 0)
            assert(not testing.wait_until(function() return lines() > 1 end, 0.5), "refused again")
        end
        ngx.say(lines(), " line, counted: ", testing.metric("gateway_policy_errors_total"), ", served by ", testing.who("/x"))
    }
}
--- request
GET /t
--- response_body
1 line, counted: 1, served by one
--- timeout
10
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
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        local function lines()
            local _, count = testing.read(ngx.config.prefix() .. "logs/error.log"):gsub(" refused, the previous policy stays", "")
            return count
        end

        for n = 2, 3 do
            testing.use(n, 0)
            assert(testing.wait_until(function() return lines() == n - 1 end, 3), "not refused")
        end
        ngx.say(lines(), " lines, counted: ", testing.metric("gateway_policy_errors_total"), ", served by ", testing.who("/x"))
    }
}
--- request
GET /t
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
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        local function lines()
            local _, count = testing.read(ngx.config.prefix() .. "logs/error.log"):gsub(" refused, the previous policy stays", "")
            return count
        end

        for round = 1, 2 do
            testing.use(2, 0)
            assert(testing.wait_until(function() return lines() == round end, 3), "not refused")
            testing.replace_policy(testing.read(testing.path("policy-3.json")))
            assert(testing.wait_until(function() return testing.status().last_error == ngx.null and testing.who("/x") == "two" end, 3))
        end
        ngx.say(lines(), " lines, generation ", testing.generation())
    }
}
--- request
GET /t
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
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not refused")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        ngx.say(testing.wait_until(function() return testing.who("/x") == "two" end, 1) and "two" or "not taken", ", generation ", testing.generation())
    }
}
--- request
GET /t
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
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        local load = require("testing.load").start(3, function()
            local who = testing.who("/x?close=1")
            return who == "one", who
        end)
        for round = 1, 2 do
            for n = 2, 3 do
                testing.use(n, 0)
                assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == round * 2 + n - 3 end, 3))
            end
        end
        local report = load:stop()
        ngx.say(report.failed, " failed", report.done > 50 and "" or ", but too few were made: " .. report.done, report.first_failure or "")
    }
}
--- request
GET /t
--- response_body
0 failed
--- timeout
15
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
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not refused")
        ngx.say("generation ", testing.generation())
        testing.use(2)
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
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
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        local function lines()
            local _, count = testing.read(ngx.config.prefix() .. "logs/error.log"):gsub("rule 'bad' left out", "")
            return count
        end

        for n, who in pairs({ [2] = "two", [3] = "three" }) do
            testing.use(n)
            assert(testing.wait_until(function() return testing.who("/x") == who end, 3), "not taken: " .. n)
        end
        ngx.say(lines(), " line, left out: ", testing.metric("gateway_policy_left_out"))
    }
}
--- request
GET /t
--- response_body
1 line, left out: 2
--- error_log
http tcp port 443: rule 'bad' left out: internal_dsl: a number, not a list
--- no_error_log
[alert]
[crit]
