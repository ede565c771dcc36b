# What is wrong with a policy: one clear line each, what is in force stays, what is good is taken.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# A document that is wrong as a whole is refused as a whole; a bad member is left out, or its predecessor stays.

run_tests();

__DATA__

=== TEST 1: a policy that ends in its middle is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": [{"rule": "r", "upst
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 45: control character 0x0a in a string
--- no_error_log
[alert]
[crit]



=== TEST 2: a policy that ends before its last brace is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": []}}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 2, column 1: the text ends here, but ',' or '}' is missing
--- no_error_log
[alert]
[crit]



=== TEST 3: an empty policy file is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.replace_policy("")
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: is empty
--- no_error_log
[alert]
[crit]



=== TEST 4: a policy of blanks alone is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.replace_policy("   ")
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 4: the text ends here, but the policy is not an object
--- no_error_log
[alert]
[crit]



=== TEST 5: a policy larger than the limit is refused, however good it is
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- options
policy_limit = 20000
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        local text = testing.read(testing.path("policy-3.json"))
        testing.replace_policy(text .. (" "):rep(20001 - #text))
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: has 20001 bytes, the limit is 20000
--- no_error_log
[alert]
[crit]



=== TEST 6: a policy as large as the limit is taken
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- options
policy_limit = 20000
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        local text = testing.read(testing.path("policy-2.json"))
        testing.replace_policy(text .. (" "):rep(20000 - #text))
        ngx.say(testing.wait_until(function() return testing.who("/x") == "two" end, 3) and "taken" or "not taken")
        ngx.say("refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
taken
refused: 0
--- no_error_log
[error]



=== TEST 7: a policy that is a list is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
[]
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 1: the policy is not an object
--- no_error_log
[alert]
[crit]



=== TEST 8: a policy that is not JSON is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
http: {}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 1: 
--- no_error_log
[alert]
[crit]



=== TEST 9: a policy that goes on behind its end is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{} {}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 4: something follows the policy's end
--- no_error_log
[alert]
[crit]



=== TEST 10: a section http that is a list is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": []}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 10: http is not an object
--- no_error_log
[alert]
[crit]



=== TEST 11: a section http.tcp that is a text is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": "80"}}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 18: http.tcp is not an object
--- no_error_log
[alert]
[crit]



=== TEST 12: the rules of a port that are an object are refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": {}}}}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 25: http.tcp.80 is not a list
--- no_error_log
[alert]
[crit]



=== TEST 13: a rule that is a number is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": [
  {}, 7]}}}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 2, column 7: http.tcp.80[1] is not an object
--- no_error_log
[alert]
[crit]



=== TEST 14: a port that is a word is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"http": []}}}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 27: http.tcp.http: not a port from 1 to 65535
--- no_error_log
[alert]
[crit]



=== TEST 15: a port that is too large is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"65536": []}}}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 28: http.tcp.65536: not a port from 1 to 65535
--- no_error_log
[alert]
[crit]



=== TEST 16: a section backend_group that is an object is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"backend_group": {}}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 19: backend_group is not a list
--- no_error_log
[alert]
[crit]



=== TEST 17: a backend group that is a text is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"backend_group": ["one"]}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 20: backend_group[0] is not an object
--- no_error_log
[alert]
[crit]



=== TEST 18: a section certificate_map that is a list is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"certificate_map": []}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 21: certificate_map is not an object
--- no_error_log
[alert]
[crit]



=== TEST 19: a certificate that is a text is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"certificate_map": {"a.example": "PEM"}}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 35: certificate_map.a.example is not an object
--- no_error_log
[alert]
[crit]



=== TEST 20: a section stream.udp that is a list is refused
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"stream": {"udp": []}}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 20: stream.udp is not an object
--- no_error_log
[alert]
[crit]



=== TEST 21: a control character from the policy does not reach the log
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"8\n0": []}}}
--- rules_3
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2, 0)
        assert(testing.wait_until(function() return testing.metric("gateway_policy_errors_total") == 1 end, 3), "not counted")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        testing.use(3)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
    }
}
--- request
GET /t
--- response_body
one, generation 1
two, generation 2
--- error_log
refused, the previous policy stays in force: line 1, column 27: http.tcp.8\x0a0: not a port
--- no_error_log
[alert]
[crit]



=== TEST 22: a rule whose expressions are a number is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "internal_dsl": 7},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: a number, not a list
--- no_error_log
[alert]
[crit]



=== TEST 23: a rule with an unknown operator is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "internal_dsl": [["EQUALS", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: at [0]: unknown operator 'EQUALS'
--- no_error_log
[alert]
[crit]



=== TEST 24: a rule with an unknown operator deep inside is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "internal_dsl": [["OR", ["EQ", "URL", "/bad"], ["NOT", "URL", "/b"]]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: at [0][2]: unknown operator 'NOT'
--- no_error_log
[alert]
[crit]



=== TEST 25: a rule with an unknown matcher is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "internal_dsl": [["EQ", "PLANET", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: at [0][1]: unknown matcher 'PLANET'
--- no_error_log
[alert]
[crit]



=== TEST 26: a rule whose argument is an object is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "internal_dsl": [["EQ", "URL", {}]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: at [0][2]: a list or object is neither text nor number
--- no_error_log
[alert]
[crit]



=== TEST 27: a rule without expressions is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "internal_dsl": []},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: missing, and a rule without it would match everything
--- no_error_log
[alert]
[crit]



=== TEST 28: a rule whose upstream is a list is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": ["one"], "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: upstream: a list, not a text
--- no_error_log
[alert]
[crit]



=== TEST 29: a rule without upstream is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "", "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: upstream: missing
--- no_error_log
[alert]
[crit]



=== TEST 30: a rule whose flag is a text is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "enable_cors": "yes", "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: enable_cors: a text, not true or false
--- no_error_log
[alert]
[crit]



=== TEST 31: a rule whose redirect code is a text is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "redirect_code": "302", "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: redirect_code: a text, not a number
--- no_error_log
[alert]
[crit]



=== TEST 32: a rule whose redirect code is none is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "redirect_code": 200, "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: redirect_code: 200 is not one of 301, 302, 303, 307, 308
--- no_error_log
[alert]
[crit]



=== TEST 33: a rule whose protocol is unknown is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "backend_protocol": "gopher", "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: backend_protocol: 'gopher' is not one of grpc, grpcs, http, https
--- no_error_log
[alert]
[crit]



=== TEST 34: a rule whose timeout is a list is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "config": {"timeout": [1]}, "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: config.timeout: a list, not an object
--- no_error_log
[alert]
[crit]



=== TEST 35: a rule whose timeout is negative is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "config": {"timeout": {"proxy_read_timeout_ms": -1}}, "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: config.timeout.proxy_read_timeout_ms: -1 is not a whole number from 0 to 86400000
--- no_error_log
[alert]
[crit]



=== TEST 36: a rule whose pattern is no regular expression is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "one", "rewrite_base": "(", "rewrite_target": "/", "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: rewrite_base: '(' is no regular expression: 
--- no_error_log
[alert]
[crit]



=== TEST 37: all that is wrong with a rule stands in one line
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": 1, "vhost": true, "enable_cors": 0, "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules_2
[]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
http tcp port 80: rule 'bad' left out: upstream: a number, not a text; enable_cors: a number, not true or false; vhost: a boolean, not a text
--- no_error_log
[alert]
[crit]



=== TEST 38: in place of a group of unknown mode the previous one stays
--- rules
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "own", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "own", "mode": "smtp", "backends": ["two"]}]
--- rules_3
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_3
[{"name": "own", "backends": ["three"]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"))
        testing.use(3)
        ngx.say(testing.wait_until(function() return testing.who("/x") == "three" end, 3) and "three" or "not taken")
    }
}
--- request
GET /t
--- response_body
one, generation 2
left out: 0
three
--- error_log
backend_group 'own' refused, the previous one stays in force: mode: 'smtp' is not one of grpc, http, https, tcp, udp
--- no_error_log
[alert]
[crit]



=== TEST 39: in place of a group whose backends are a text the previous one stays
--- rules
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "own", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "own", "backends": "two"}]
--- rules_3
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_3
[{"name": "own", "backends": ["three"]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"))
        testing.use(3)
        ngx.say(testing.wait_until(function() return testing.who("/x") == "three" end, 3) and "three" or "not taken")
    }
}
--- request
GET /t
--- response_body
one, generation 2
left out: 0
three
--- error_log
backend_group 'own' refused, the previous one stays in force: backends: a text, not a list
--- no_error_log
[alert]
[crit]



=== TEST 40: in place of a group of unknown affinity the previous one stays
--- rules
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "own", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "own", "session_affinity_policy": "moon", "backends": ["two"]}]
--- rules_3
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_3
[{"name": "own", "backends": ["three"]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        ngx.say(testing.who("/x"), ", generation ", testing.generation())
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"))
        testing.use(3)
        ngx.say(testing.wait_until(function() return testing.who("/x") == "three" end, 3) and "three" or "not taken")
    }
}
--- request
GET /t
--- response_body
one, generation 2
left out: 0
three
--- error_log
backend_group 'own' refused, the previous one stays in force: session_affinity_policy: 'moon' is not one of cookie, header, sip-hash
--- no_error_log
[alert]
[crit]



=== TEST 41: a new group of unknown mode is left out, the other rules serve
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "bad", "upstream": "own", "internal_dsl": [["EQ", "URL", "/bad"]]},
 {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "own", "mode": "smtp", "backends": ["two"]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, 503
left out: 1, refused: 0
--- error_log
backend_group 'own' left out: mode: 'smtp' is not one of grpc, http, https, tcp, udp
--- no_error_log
[alert]
[crit]



=== TEST 42: a group without a name is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- policy_2
{"http": {"tcp": {"80": [{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]}},
 "backend_group": [{"mode": "http", "backends": []},
  {"name": "two", "mode": "http", "backends": [{"address": "127.0.0.1", "port": $PORT_TWO, "weight": 1}]}]}
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
        ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
        ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
    }
}
--- request
GET /t
--- response_body
two, two
left out: 1, refused: 0
--- error_log
backend_group [0] left out: name: missing
--- no_error_log
[alert]
[crit]



=== TEST 43: a backend without address is left out, the others serve
--- rules
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "own", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "own", "backends": [{"port": 80, "weight": 1}, "two"]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.tally(2, "/x") == "two 2" end, 3), "the good backend does not serve")
        ngx.say(testing.tally(6, "/x"))
    }
}
--- request
GET /t
--- response_body
two 6
--- error_log
backend_group 'own': backend left out: backends[0].address: missing
--- no_error_log
[alert]
[crit]



=== TEST 44: a backend whose address is a number is left out, the others serve
--- rules
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "own", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "own", "backends": [{"address": 7, "port": 80}, "two"]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.tally(2, "/x") == "two 2" end, 3), "the good backend does not serve")
        ngx.say(testing.tally(6, "/x"))
    }
}
--- request
GET /t
--- response_body
two 6
--- error_log
backend_group 'own': backend left out: backends[0].address: a number, not a text
--- no_error_log
[alert]
[crit]



=== TEST 45: a backend whose address is a name is left out, the others serve
--- rules
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "own", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "own", "backends": [{"address": "a.example", "port": 80}, "two"]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.tally(2, "/x") == "two 2" end, 3), "the good backend does not serve")
        ngx.say(testing.tally(6, "/x"))
    }
}
--- request
GET /t
--- response_body
two 6
--- error_log
backend_group 'own': backend left out: backends[0].address: 'a.example' is not an IP address
--- no_error_log
[alert]
[crit]



=== TEST 46: a backend without port is left out, the others serve
--- rules
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "own", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "own", "backends": [{"address": "127.0.0.1"}, "two"]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.tally(2, "/x") == "two 2" end, 3), "the good backend does not serve")
        ngx.say(testing.tally(6, "/x"))
    }
}
--- request
GET /t
--- response_body
two 6
--- error_log
backend_group 'own': backend left out: backends[0].port: missing
--- no_error_log
[alert]
[crit]



=== TEST 47: a backend of negative weight is left out, the others serve
--- rules
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "own", "backends": ["one"]}]
--- rules_2
[{"rule": "r", "upstream": "own", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "own", "backends": [{"address": "127.0.0.1", "port": 80, "weight": -1}, "two"]}]
--- config
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        testing.use(2)
        assert(testing.wait_until(function() return testing.tally(2, "/x") == "two 2" end, 3), "the good backend does not serve")
        ngx.say(testing.tally(6, "/x"))
    }
}
--- request
GET /t
--- response_body
two 6
--- error_log
backend_group 'own': backend left out: backends[0].weight: -1 is not a whole number from 0 to 1000000
--- no_error_log
[alert]
[crit]



=== TEST 48: in place of a certificate whose key is missing the previous one stays
--- certificates
{"a.example": "exact"}
--- policy_2
{"certificate_map": {"a.example": {"cert": "x"}}}
--- certificates_3
{"a.example": "default"}
--- config
lua_ssl_trusted_certificate $TEST_NGINX_CERTS/exact.crt;
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        ngx.say(testing.handshake("a.example", true))
        testing.use(2)
        ngx.say(testing.handshake("a.example", true), ", generation ", testing.generation())
        testing.use(3)
        ngx.say(testing.wait_until(function() return not testing.handshake("a.example", true) end, 3) and "another" or "not taken")
    }
}
--- request
GET /t
--- response_body
true
true, generation 2
another
--- error_log
certificate 'a.example' refused, the previous one stays in force: 'cert' holds no PEM certificate; 'key' is missing
lua ssl certificate verify error
--- no_error_log
[alert]
[crit]



=== TEST 49: in place of a certificate whose key is a number the previous one stays
--- certificates
{"a.example": "exact"}
--- policy_2
{"certificate_map": {"a.example": {"cert": null, "key": 7}}}
--- certificates_3
{"a.example": "default"}
--- config
lua_ssl_trusted_certificate $TEST_NGINX_CERTS/exact.crt;
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        ngx.say(testing.handshake("a.example", true))
        testing.use(2)
        ngx.say(testing.handshake("a.example", true), ", generation ", testing.generation())
        testing.use(3)
        ngx.say(testing.wait_until(function() return not testing.handshake("a.example", true) end, 3) and "another" or "not taken")
    }
}
--- request
GET /t
--- response_body
true
true, generation 2
another
--- error_log
certificate 'a.example' refused, the previous one stays in force: 'cert' is missing; 'key' is not a text
lua ssl certificate verify error
--- no_error_log
[alert]
[crit]



=== TEST 50: in place of a certificate that is cut off the previous one stays
--- certificates
{"a.example": "exact"}
--- policy_2
{"certificate_map": {"a.example": {"cert": "-----BEGIN CERTIFICATE-----\nMIIB", "key": "-----BEGIN PRIVATE KEY-----\nMIIB"}}}
--- certificates_3
{"a.example": "default"}
--- config
lua_ssl_trusted_certificate $TEST_NGINX_CERTS/exact.crt;
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        ngx.say(testing.handshake("a.example", true))
        testing.use(2)
        ngx.say(testing.handshake("a.example", true), ", generation ", testing.generation())
        testing.use(3)
        ngx.say(testing.wait_until(function() return not testing.handshake("a.example", true) end, 3) and "another" or "not taken")
    }
}
--- request
GET /t
--- response_body
true
true, generation 2
another
--- error_log
certificate 'a.example' refused, the previous one stays in force: could not parse 'cert': 
lua ssl certificate verify error
--- no_error_log
[alert]
[crit]



=== TEST 51: a certificate whose key does not match it is left out
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
lua_ssl_trusted_certificate $TEST_NGINX_CERTS/exact.crt;
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        local cjson = require "cjson"
        local function put(key)
            local function pem(name)
                return testing.read("$TEST_NGINX_CERTS/" .. name)
            end
            local policy = cjson.decode(testing.read(testing.path("policy-2.json")))
            policy.certificate_map = { ["a.example"] = { cert = pem("exact.crt"), key = pem(key) } }
            testing.replace_policy(cjson.encode(policy))
        end
        local function in_force(generation)
            return testing.wait_until(function() return testing.generation() == generation end, 3)
        end
        put("default.key")
        assert(in_force(2))
        ngx.say((select(2, testing.handshake("a.example"))), ", ", testing.who("/x"), ", left out: ", testing.metric("gateway_policy_left_out"))
        put("exact.key")
        assert(in_force(3))
        ngx.say(testing.handshake("a.example", true), ", left out: ", testing.metric("gateway_policy_left_out"))
    }
}
--- request
GET /t
--- response_body
handshake failed, two, left out: 1
true, left out: 0
--- error_log
policy: certificate 'a.example' left out: the key does not match the certificate
SSL_do_handshake() failed
--- no_error_log
[alert]
[crit]



=== TEST 52: in place of a certificate whose key does not match it the previous one stays
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates
{"a.example": "exact"}
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- config
lua_ssl_trusted_certificate $TEST_NGINX_CERTS/exact.crt;
location = /t {
    content_by_lua_block {
        local testing = require "testing"
        local cjson = require "cjson"
        local function put(key)
            local function pem(name)
                return testing.read("$TEST_NGINX_CERTS/" .. name)
            end
            local policy = cjson.decode(testing.read(testing.path("policy-2.json")))
            policy.certificate_map = { ["a.example"] = { cert = pem("exact.crt"), key = pem(key) } }
            testing.replace_policy(cjson.encode(policy))
        end
        local function in_force(generation)
            return testing.wait_until(function() return testing.generation() == generation end, 3)
        end
        put("default.key")
        assert(in_force(2))
        ngx.say(testing.handshake("a.example", true), ", ", testing.who("/x"), ", left out: ", testing.metric("gateway_policy_left_out"))
        put("exact.key")
        assert(in_force(3))
        ngx.say(testing.handshake("a.example", true), ", left out: ", testing.metric("gateway_policy_left_out"))
    }
}
--- request
GET /t
--- response_body
true, two, left out: 0
true, left out: 0
--- error_log
certificate 'a.example' refused, the previous one stays in force: the key does not match the certificate
--- no_error_log
[alert]
[crit]
