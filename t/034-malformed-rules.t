# A bad rule is left out with one line, which says what is wrong with it; the rules beside it serve.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# The section `bad` is the bad rule: it would take /bad, and stands before a good one that takes everything.
each_block(
    rules => '[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]',
    rules_2 => sub { '[' . $_[0]->bad . ', {"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]' },
    https_rules_2 => '[]',
    lua => <<'_EOC_',
testing.use(2)
assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good rule does not serve")
ngx.say(testing.who("/x"), ", ", testing.who("/bad"))
ngx.say("left out: ", testing.metric("gateway_policy_left_out"), ", refused: ", testing.metric("gateway_policy_errors_total"))
ngx.say("errors: ", testing.logged("%[error%]"))
_EOC_
    response_body => "two, two\nleft out: 1, refused: 0\nerrors: 1\n",
    no_error_log => "[alert]\n[crit]\n",
);

run_tests();

__DATA__

=== TEST 1: a rule whose expressions are a number is left out
--- bad
{"rule": "bad", "upstream": "one", "internal_dsl": 7}
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: a number, not a list



=== TEST 2: a rule with an unknown operator is left out
--- bad
{"rule": "bad", "upstream": "one", "internal_dsl": [["EQUALS", "URL", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: at [0]: unknown operator 'EQUALS'



=== TEST 3: a rule with an unknown operator deep inside is left out
--- bad
{"rule": "bad", "upstream": "one", "internal_dsl": [["OR", ["EQ", "URL", "/bad"], ["NOT", "URL", "/b"]]]}
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: at [0][2]: unknown operator 'NOT'



=== TEST 4: a rule with an unknown matcher is left out
--- bad
{"rule": "bad", "upstream": "one", "internal_dsl": [["EQ", "PLANET", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: at [0][1]: unknown matcher 'PLANET'



=== TEST 5: a rule whose argument is an object is left out
--- bad
{"rule": "bad", "upstream": "one", "internal_dsl": [["EQ", "URL", {}]]}
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: at [0][2]: a list or object is neither text nor number



=== TEST 6: a rule without expressions is left out
--- bad
{"rule": "bad", "upstream": "one", "internal_dsl": []}
--- error_log
http tcp port 80: rule 'bad' left out: internal_dsl: missing, and a rule without it would match everything



=== TEST 7: a rule whose upstream is a list is left out
--- bad
{"rule": "bad", "upstream": ["one"], "internal_dsl": [["EQ", "URL", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: upstream: a list, not a text



=== TEST 8: a rule without upstream is left out
--- bad
{"rule": "bad", "upstream": "", "internal_dsl": [["EQ", "URL", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: upstream: missing



=== TEST 9: a rule whose flag is a text is left out
--- bad
{"rule": "bad", "upstream": "one", "enable_cors": "yes", "internal_dsl": [["EQ", "URL", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: enable_cors: a text, not true or false



=== TEST 10: a rule whose redirect code is a text is left out
--- bad
{"rule": "bad", "upstream": "one", "redirect_code": "302", "internal_dsl": [["EQ", "URL", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: redirect_code: a text, not a number



=== TEST 11: a rule whose redirect code is none is left out
--- bad
{"rule": "bad", "upstream": "one", "redirect_code": 200, "internal_dsl": [["EQ", "URL", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: redirect_code: 200 is not one of 301, 302, 303, 307, 308



=== TEST 12: a rule whose protocol is unknown is left out
--- bad
{"rule": "bad", "upstream": "one", "backend_protocol": "gopher", "internal_dsl": [["EQ", "URL", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: backend_protocol: 'gopher' is not one of grpc, grpcs, http, https



=== TEST 13: a rule whose timeout is a list is left out
--- bad
{"rule": "bad", "upstream": "one", "config": {"timeout": [1]}, "internal_dsl": [["EQ", "URL", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: config.timeout: a list, not an object



=== TEST 14: a rule whose timeout is negative is left out
--- bad
{"rule": "bad", "upstream": "one", "config": {"timeout": {"proxy_read_timeout_ms": -1}}, "internal_dsl": [["EQ", "URL", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: config.timeout.proxy_read_timeout_ms: -1 is not a whole number from 0 to 86400000



=== TEST 15: a rule whose pattern is no regular expression is left out
--- bad
{"rule": "bad", "upstream": "one", "rewrite_base": "(", "rewrite_target": "/", "internal_dsl": [["EQ", "URL", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: rewrite_base: '(' is no regular expression: 



=== TEST 16: all that is wrong with a rule stands in one line
--- bad
{"rule": "bad", "upstream": 1, "vhost": true, "enable_cors": 0, "internal_dsl": [["EQ", "URL", "/bad"]]}
--- error_log
http tcp port 80: rule 'bad' left out: upstream: a number, not a text; enable_cors: a number, not true or false; vhost: a boolean, not a text



=== TEST 17: each field of a wrong type is named
--- bad
{"rule": "bad", "upstream": [], "internal_dsl": [["EQ", "URL", "/bad"]], "url": 1, "rewrite_base": 2, "rewrite_target": {},
 "enable_cors": 1, "cors_allow_origin": [], "cors_allow_headers": 3, "backend_protocol": 4, "vhost": false,
 "redirect_url": 5, "redirect_code": "a", "redirect_scheme": 6, "redirect_host": [], "redirect_port": "b",
 "config": {"timeout": {"proxy_connect_timeout_ms": "c", "proxy_send_timeout_ms": [], "proxy_read_timeout_ms": true},
            "rewrite_request": {"headers": [1], "headers_remove": {"a": 1}, "headers_add": 7},
            "rewrite_response": 8}}
--- error_log
http tcp port 80: rule 'bad' left out: upstream: an empty list or object, not a text; redirect_url: a number, not a text; redirect_host: an empty list or object, not a text; redirect_scheme: a number, not a text; redirect_port: a text, not a number; redirect_code: a text, not a number; enable_cors: a number, not true or false; cors_allow_origin: an empty list or object, not a text; cors_allow_headers: a number, not a text; rewrite_base: a number, not a text; url: a number, not a text; rewrite_target: an empty list or object, not a text; backend_protocol: a number, not a text; vhost: a boolean, not a text; config.timeout.proxy_connect_timeout_ms: a text, not a number; config.timeout.proxy_send_timeout_ms: an empty list or object, not a number; config.timeout.proxy_read_timeout_ms: a boolean, not a number; config.rewrite_request.headers: a list, not an object; config.rewrite_request.headers_add: a number, not an object; config.rewrite_request.headers_remove: an object, not a list; config.rewrite_response: a number, not an object
