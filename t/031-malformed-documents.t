# A policy that is wrong as a whole is refused as a whole: one line says what is wrong and where, and the policy before stays in force.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# The refused policy is the section policy_2, or what the Lua code of the section `put` puts in the policy's place. A good one follows.
each_block(
    rules => '[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]',
    rules_3 => '[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]',
    put => 'testing.use(2, 0)',
    lua => sub { $_[0]->put . <<'_EOC_' },

testing.await_refusals(1)
ngx.say(testing.who("/x"), ", generation ", testing.generation())
testing.use(3)
assert(testing.wait_until(function() return testing.who("/x") == "two" end, 3), "the good policy does not serve")
ngx.say(testing.who("/x"), ", generation ", testing.generation(), ", errors: ", testing.logged("%[error%]"))
_EOC_
    response_body => "one, generation 1\ntwo, generation 2, errors: 1\n",
    no_error_log => "[alert]\n[crit]\n",
);

run_tests();

__DATA__

=== TEST 1: a policy that ends in its middle is refused
--- policy_2
{"http": {"tcp": {"80": [{"rule": "r", "upst
--- error_log
refused, the previous policy stays in force: line 1, column 45: control character 0x0a in a string



=== TEST 2: a policy that ends before its last brace is refused
--- policy_2
{"http": {"tcp": {"80": []}}
--- error_log
refused, the previous policy stays in force: line 2, column 1: the text ends here, but ',' or '}' is missing



=== TEST 3: a policy that ends inside a name is refused
--- policy_2 chomp
{"http": {"tcp": {"80": [{"rule": "r", "upst
--- error_log
refused, the previous policy stays in force: line 1, column 45: the text ends here, but a string is not closed



=== TEST 4: a policy that ends inside a text is refused
--- policy_2 chomp
{"http": {"tcp": {"80": [{"rule": "r", "upstream": "on
--- error_log
refused, the previous policy stays in force: line 1, column 55: the text ends here, but a string is not closed



=== TEST 5: a policy that ends inside a number is refused
--- policy_2 chomp
{"backend_group": [{"name": "g", "backends": [{"address": "10.0.0.1", "port": 80
--- error_log
refused, the previous policy stays in force: line 1, column 81: the text ends here, but ',' or '}' is missing



=== TEST 6: a policy that ends at a number's point is refused
--- policy_2 chomp
{"backend_group": [{"name": "g", "backends": [{"weight": 1.
--- error_log
refused, the previous policy stays in force: line 1, column 60: the text ends here, but a digit is missing in a number



=== TEST 7: a policy that ends inside a word is refused
--- policy_2 chomp
{"http": {"tcp": {"80": [{"rule": "r", "enable_cors": tru
--- error_log
refused, the previous policy stays in force: line 1, column 58: the text ends here, but a value is missing



=== TEST 8: a policy that ends inside an escape is refused
--- policy_2 chomp
{"http": {"tcp": {"80": [{"rule": "r\
--- error_log
refused, the previous policy stays in force: line 1, column 38: the text ends here, but a string is not closed



=== TEST 9: an empty policy file is refused
--- put: testing.replace_policy("")
--- error_log
refused, the previous policy stays in force: is empty



=== TEST 10: a policy of blanks alone is refused
--- put: testing.replace_policy("   ")
--- error_log
refused, the previous policy stays in force: line 1, column 4: the text ends here, but the policy is not an object



=== TEST 11: a policy larger than the limit is refused, however good it is
--- options: policy_limit = 20000
--- put
local text = testing.read(testing.path("policy-3.json"))
testing.replace_policy(text .. (" "):rep(20001 - #text))
--- error_log
refused, the previous policy stays in force: has 20001 bytes, the limit is 20000



=== TEST 12: a huge policy is refused without being read, when no limit was set
--- put
testing.await_reader()
local path = testing.path("policy.json")
local file = assert(io.open(path .. ".new", "wb"))
assert(file:seek("set", 128 * 1024 * 1024))
file:write("}")
file:close()
assert(os.rename(path .. ".new", path))
--- error_log
refused, the previous policy stays in force: has 134217729 bytes, the limit is 134217728



=== TEST 13: a policy as large as the limit is taken
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- options: policy_limit = 20000
--- lua
local text = testing.read(testing.path("policy-2.json"))
testing.replace_policy(text .. (" "):rep(20000 - #text))
ngx.say(testing.wait_until(function() return testing.who("/x") == "two" end, 3) and "taken" or "not taken")
ngx.say("refused: ", testing.metric("gateway_policy_errors_total"))
--- response_body
taken
refused: 0
--- no_error_log
[error]



=== TEST 14: a folder in the place of the policy is refused
--- put
testing.await_reader()
local ffi = require "ffi"
ffi.cdef "int symlink(const char *target, const char *path);"
local path = testing.path("policy.json")
assert(ffi.C.symlink(ngx.config.prefix() .. "conf", path .. ".new") == 0)
assert(os.rename(path .. ".new", path))
--- error_log
refused, the previous policy stays in force: is a directory



=== TEST 15: a policy that is a list is refused
--- policy_2
[]
--- error_log
refused, the previous policy stays in force: line 1, column 1: the policy is not an object



=== TEST 16: a policy that is not JSON is refused
--- policy_2
http: {}
--- error_log
refused, the previous policy stays in force: line 1, column 1: 



=== TEST 17: a policy that goes on behind its end is refused
--- policy_2
{} {}
--- error_log
refused, the previous policy stays in force: line 1, column 4: something follows the policy's end



=== TEST 18: a section http that is a list is refused
--- policy_2
{"http": []}
--- error_log
refused, the previous policy stays in force: line 1, column 10: http is not an object



=== TEST 19: a section http.tcp that is a text is refused
--- policy_2
{"http": {"tcp": "80"}}
--- error_log
refused, the previous policy stays in force: line 1, column 18: http.tcp is not an object



=== TEST 20: the rules of a port that are an object are refused
--- policy_2
{"http": {"tcp": {"80": {}}}}
--- error_log
refused, the previous policy stays in force: line 1, column 25: http.tcp.80 is not a list



=== TEST 21: a rule that is a number is refused
--- policy_2
{"http": {"tcp": {"80": [
  {}, 7]}}}
--- error_log
refused, the previous policy stays in force: line 2, column 7: http.tcp.80[1] is not an object



=== TEST 22: a port that is a word is refused
--- policy_2
{"http": {"tcp": {"http": []}}}
--- error_log
refused, the previous policy stays in force: line 1, column 27: http.tcp.http: not a port from 1 to 65535



=== TEST 23: a port that is too large is refused
--- policy_2
{"http": {"tcp": {"65536": []}}}
--- error_log
refused, the previous policy stays in force: line 1, column 28: http.tcp.65536: not a port from 1 to 65535



=== TEST 24: a section backend_group that is an object is refused
--- policy_2
{"backend_group": {}}
--- error_log
refused, the previous policy stays in force: line 1, column 19: backend_group is not a list



=== TEST 25: a backend group that is a text is refused
--- policy_2
{"backend_group": ["one"]}
--- error_log
refused, the previous policy stays in force: line 1, column 20: backend_group[0] is not an object



=== TEST 26: a section certificate_map that is a list is refused
--- policy_2
{"certificate_map": []}
--- error_log
refused, the previous policy stays in force: line 1, column 21: certificate_map is not an object



=== TEST 27: a certificate that is a text is refused
--- policy_2
{"certificate_map": {"a.example": "PEM"}}
--- error_log
refused, the previous policy stays in force: line 1, column 35: certificate_map.a.example is not an object



=== TEST 28: a section stream.udp that is a list is refused
--- policy_2
{"stream": {"udp": []}}
--- error_log
refused, the previous policy stays in force: line 1, column 20: stream.udp is not an object



=== TEST 29: a control character from the policy does not reach the log
--- policy_2
{"http": {"tcp": {"8\n0": []}}}
--- error_log
refused, the previous policy stays in force: line 1, column 27: http.tcp.8\x0a0: not a port
