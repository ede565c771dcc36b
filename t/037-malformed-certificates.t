# In the place of a bad certificate the previous one stays, and a new bad one is left out; one line says what is wrong with it.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# The section `bad` is the bad certificate, in the place of a good one of the same name. Another good one follows, which the client
# of the test does not trust.
each_block(
    certificates => '{"a.example": "exact"}',
    policy_2 => sub { defined $_[0]->bad ? '{"certificate_map": {"a.example": ' . $_[0]->bad . '}}' : undef },
    certificates_3 => '{"a.example": "default"}',
    config => 'lua_ssl_trusted_certificate $TEST_NGINX_CERTS/exact.crt;',
    lua => <<'_EOC_',
ngx.say(testing.handshake("a.example", true))
testing.use(2)
ngx.say(testing.handshake("a.example", true), ", generation ", testing.generation(), ", errors: ", testing.logged("%[error%]"))
ngx.say("left out: ", testing.metric("gateway_policy_left_out"))
testing.use(3)
ngx.say(testing.wait_until(function() return not testing.handshake("a.example", true) end, 3) and "another" or "not taken")
_EOC_
    response_body => "true\ntrue, generation 2, errors: 1\nleft out: 1\nanother\n",
    no_error_log => "[alert]\n[crit]\n",
);

run_tests();

__DATA__

=== TEST 1: in place of a certificate whose key is missing the previous one stays
--- bad
{"cert": "x"}
--- error_log
certificate 'a.example' refused, the previous one stays in force: 'cert' holds no PEM certificate; 'key' is missing
lua ssl certificate verify error



=== TEST 2: in place of a certificate whose key is a number the previous one stays
--- bad
{"cert": null, "key": 7}
--- error_log
certificate 'a.example' refused, the previous one stays in force: 'cert' is missing; 'key' is not a text
lua ssl certificate verify error



=== TEST 3: in place of a certificate that is cut off the previous one stays
--- bad
{"cert": "-----BEGIN CERTIFICATE-----\nMIIB", "key": "-----BEGIN PRIVATE KEY-----\nMIIB"}
--- error_log
certificate 'a.example' refused, the previous one stays in force: could not parse 'cert': 
lua ssl certificate verify error



=== TEST 4: a certificate whose key does not match it is left out
--- certificates
{}
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates_2
{"a.example": "exact+default"}
--- certificates_3
{"a.example": "exact"}
--- lua
testing.use(2)
ngx.say((select(2, testing.handshake("a.example"))), ", ", testing.who("/x"), ", left out: ", testing.metric("gateway_policy_left_out"))
testing.use(3)
ngx.say(testing.handshake("a.example", true), ", left out: ", testing.metric("gateway_policy_left_out"))
--- response_body
handshake failed, two, left out: 1
true, left out: 0
--- error_log
policy: certificate 'a.example' left out: the key does not match the certificate
SSL_do_handshake() failed



=== TEST 5: in place of a certificate whose key does not match it the previous one stays
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates_2
{"a.example": "exact+default"}
--- certificates_3
{"a.example": "exact"}
--- lua
testing.use(2)
ngx.say(testing.handshake("a.example", true), ", ", testing.who("/x"), ", left out: ", testing.metric("gateway_policy_left_out"))
testing.use(3)
ngx.say(testing.handshake("a.example", true), ", left out: ", testing.metric("gateway_policy_left_out"))
--- response_body
true, two, left out: 1
true, left out: 0
--- error_log
certificate 'a.example' refused, the previous one stays in force: the key does not match the certificate
