# Real handshakes: which certificate a client is shown, and that it is shown none when there is none.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# The section `trusts` names the certificate in t/certs that the client trusts. A chain that it trusts and a name that is not the
# certificate's end in "certificate host mismatch", another chain in "self-signed certificate": so a test sees which one was shown.
each_block(config => sub {
    my $trusted = $_[0]->trusts;
    return defined $trusted ? "lua_ssl_trusted_certificate \$TEST_NGINX_CERTS/$trusted.crt;" : undef;
});

run_tests();

__DATA__

=== TEST 1: the certificate of the exact domain
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates
{"a.example": "exact", "443": "default"}
--- trusts: exact
--- lua
ngx.say(testing.handshake("a.example", true))
ngx.print(testing.request("/x", { host = "a.example", tls = { sni = "a.example", verify = true } }).body)
--- response_body
true
one GET /x
--- no_error_log
[error]



=== TEST 2: the domain is found in any case
--- certificates
{"A.Example": "exact"}
--- trusts: exact
--- lua
ngx.say(testing.handshake("a.EXAMPLE", true))
--- response_body
true
--- no_error_log
[error]



=== TEST 3: a wildcard one label up
--- certificates
{"*.w.example": "wildcard", "443": "default"}
--- trusts: wildcard
--- lua
ngx.say(testing.handshake("a.w.example", true))
ngx.say(testing.handshake("b.w.example", true))
--- response_body
true
true
--- no_error_log
[error]



=== TEST 4: a wildcard is not for two labels, and not for its own domain
--- certificates
{"*.w.example": "wildcard", "443": "default"}
--- trusts: default
--- lua
ngx.say(testing.handshake("a.b.w.example", true))
ngx.say(testing.handshake("w.example", true))
--- response_body
nilcertificate host mismatch
nilcertificate host mismatch
--- error_log
lua ssl certificate does not match host
--- no_error_log
[alert]



=== TEST 5: the exact domain counts more than the wildcard
--- certificates
{"a.example": "exact", "*.example": "wildcard", "443": "default"}
--- trusts: exact
--- lua
ngx.say(testing.handshake("a.example", true))
--- response_body
true
--- no_error_log
[error]



=== TEST 6: an unknown domain gets the certificate of the port
--- certificates
{"a.example": "exact", "443": "default"}
--- trusts: default
--- lua
ngx.say(testing.handshake("default.example", true))
ngx.say(testing.handshake("c.example", true))
--- response_body
true
nilcertificate host mismatch
--- error_log
lua ssl certificate does not match host
--- no_error_log
[alert]



=== TEST 7: a client that names nothing gets the certificate of the port
--- certificates
{"a.example": "exact", "443": "default"}
--- trusts: default
--- lua
ngx.say(testing.handshake(nil, true))
--- response_body
true
--- no_error_log
[error]



=== TEST 8: a client that names an address gets the certificate of the port
--- certificates
{"127.0.0.1": "exact", "*.0.0.1": "exact", "443": "default"}
--- trusts: default
--- lua
ngx.say(testing.handshake("127.0.0.1", true))
--- response_body
true
--- no_error_log
[error]



=== TEST 9: without a certificate for the name or the port the handshake fails, and the log says for which name
--- certificates
{"a.example": "exact", "80": "default"}
--- lua
local ok, err = testing.handshake("b.example")
ngx.say(ok, " ", err)
--- response_body
nil handshake failed
--- error_log
no certificate for 'b.example' on port 443, the handshake fails
--- no_error_log
[alert]



=== TEST 10: without any certificate a client that names nothing gets none either
--- lua
local ok, err = testing.handshake(nil)
ngx.say(ok, " ", err)
--- response_body
nil handshake failed
--- error_log
no certificate for a client that names no domain on port 443, the handshake fails
--- no_error_log
[alert]



=== TEST 11: an RSA certificate, exact and wildcard, next to EC ones
--- certificates
{"rsa.example": "exact_rsa", "*.rsa.example": "wildcard_rsa", "a.example": "exact"}
--- config
location = /exact {
    lua_ssl_trusted_certificate $TEST_NGINX_CERTS/exact_rsa.crt;
    content_by_lua_block { ngx.say(require("testing").handshake("rsa.example", true)) }
}
location = /wildcard {
    lua_ssl_trusted_certificate $TEST_NGINX_CERTS/wildcard_rsa.crt;
    content_by_lua_block { ngx.say(require("testing").handshake("a.rsa.example", true)) }
}
location = /ec {
    lua_ssl_trusted_certificate $TEST_NGINX_CERTS/exact.crt;
    content_by_lua_block { ngx.say(require("testing").handshake("a.example", true)) }
}
--- request eval
["GET /exact", "GET /wildcard", "GET /ec"]
--- response_body eval
["true\n", "true\n", "true\n"]
--- no_error_log
[error]



=== TEST 12: a certificate that is replaced is the one of the next handshake
--- certificates
{"a.example": "exact"}
--- certificates_2
{"a.example": "exact_new"}
--- config
location = /before {
    lua_ssl_trusted_certificate $TEST_NGINX_CERTS/exact.crt;
    content_by_lua_block {
        local testing = require "testing"
        ngx.say(testing.handshake("a.example", true))
        testing.use(2)
    }
}
location = /after {
    lua_ssl_trusted_certificate $TEST_NGINX_CERTS/exact_new.crt;
    content_by_lua_block { ngx.say(require("testing").handshake("a.example", true)) }
}
--- request eval
["GET /before", "GET /after"]
--- response_body eval
["true\n", "true\n"]
--- no_error_log
[error]



=== TEST 13: a certificate that comes is found where there was none before
--- certificates
{"443": "default"}
--- certificates_2
{"443": "default", "a.example": "exact"}
--- trusts: exact
--- lua
ngx.say(testing.handshake("a.example", true))
testing.use(2)
ngx.say(testing.handshake("a.example", true))
--- response_body_like eval: qr/\Anil18: self.signed certificate\ntrue\n\z/
--- error_log
lua ssl certificate verify error
--- no_error_log
[alert]



=== TEST 14: a certificate that goes leaves its name to the port's
--- certificates
{"443": "default", "a.example": "exact"}
--- certificates_2
{"443": "default"}
--- trusts: default
--- lua
ngx.say(testing.handshake("a.example", false))
testing.use(2)
ngx.say(testing.handshake("a.example", true))
--- response_body
true
nilcertificate host mismatch
--- error_log
lua ssl certificate does not match host
--- no_error_log
[alert]



=== TEST 15: a key that does not fit leaves the certificate before it in force, with one line
--- certificates
{"a.example": "exact"}
--- certificates_2
{"a.example": "exact_new+exact"}
--- trusts: exact
--- lua
ngx.say(testing.handshake("a.example", true))
testing.use(2)
ngx.say(testing.handshake("a.example", true))
--- response_body
true
true
--- grep_error_log eval: qr/certificate 'a\.example'.*does not match the certificate/
--- grep_error_log_out
certificate 'a.example' refused, the previous one stays in force: the key does not match the certificate
--- no_error_log
[alert]



=== TEST 16: what is no certificate is left out with one line, and the others serve
--- certificates
{"a.example": "exact", "b.example": {"cert": "nonsense", "key": ""}, "c.example": {"cert": 17}}
--- trusts: exact
--- lua
ngx.say(testing.handshake("a.example", true))
--- response_body
true
--- grep_error_log eval: qr/certificate '[bc]\.example' left out/
--- grep_error_log_out
certificate 'b.example' left out
certificate 'c.example' left out
--- no_error_log
[alert]



=== TEST 17: a session that is resumed needs no certificate and serves as before
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates
{"443": "default"}
--- config
lua_ssl_protocols TLSv1.2;
--- lua
local session
for _ = 1, 3 do
    local sock = ngx.socket.tcp()
    assert(sock:connect("127.0.0.1", testing.port("https"), { pool_size = 1, pool = tostring(sock) }))
    session = assert(sock:sslhandshake(session, "a.example"))
    assert(sock:send("GET /x HTTP/1.0\r\nHost: a.example\r\n\r\n"))
    ngx.say(sock:receive("*l"))
    sock:close()
end
ngx.say(testing.metric('gateway_tls_certificates_total{by="port"}'), " certificate")
--- response_body
HTTP/1.1 200 OK
HTTP/1.1 200 OK
HTTP/1.1 200 OK
1 certificate
--- no_error_log
[error]



=== TEST 18: a worker lets a certificate go that the policy has no more, though no client asks for it again
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates
{"a.example": "exact"}
--- certificates_2
{"443": "default"}
--- lua
local caches = require "gateway.caches"
testing.await_reader()
local weak = setmetatable({ (assert(caches.certificate("a.example"))) }, { __mode = "v" })
local function is_gone()
    collectgarbage()
    collectgarbage()
    return weak[1] == nil
end
ngx.say(is_gone())
testing.use(2)
ngx.say(testing.wait_until(is_gone, 4))
--- response_body
false
true
--- no_error_log
[error]
