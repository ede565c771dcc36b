# How backends are spoken to: HTTP, HTTPS, gRPC, and connections that are upgraded.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: without a word on it HTTP/1.1 is spoken
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- response_headers
X-Protocol: HTTP/1.1
--- response_body
one GET /x
--- no_error_log
[error]



=== TEST 2: a rule says that its backends speak HTTPS, in any case
--- rules
[{"rule": "r", "upstream": "plainly_tls", "backend_protocol": "HTTPS", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "plainly_tls", "mode": "http", "backends": ["tls"]}]
--- request
GET /x
--- response_headers
X-Protocol: HTTP/1.1
--- response_body
tls GET /x
--- no_error_log
[error]



=== TEST 3: a group's mode says that its backends speak HTTPS
--- rules
[{"rule": "r", "upstream": "tls", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- probes
GET /x  => tls GET /x
--- no_error_log
[error]



=== TEST 4: what the rule says counts more than the group's mode
--- rules
[{"rule": "r", "upstream": "not_tls", "backend_protocol": "http", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "not_tls", "mode": "https", "backends": ["one"]}]
--- probes
GET /x  => one GET /x
--- no_error_log
[error]



=== TEST 5: the backend is told by SNI the host that the client named, without its port
--- rules
[{"rule": "r", "upstream": "tls", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- more_headers
Host: a.example:8080
--- response_headers
X-SNI: a.example
--- no_error_log
[error]



=== TEST 6: the backend is told by SNI the rule's vhost instead
--- rules
[{"rule": "r", "upstream": "tls", "vhost": "inner.example", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- more_headers
Host: a.example
X-Echo: host
--- response_headers
X-SNI: inner.example
--- response_body
tls GET /x
host: inner.example
--- no_error_log
[error]



=== TEST 7: a kept connection is not used for another name
--- rules
[{"rule": "r", "upstream": "tls", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local ports = {}
for i, host in ipairs({ "a.example", "b.example", "a.example" }) do
    local answer = testing.request("/", { host = host })
    assert(answer.headers["x-sni"] == host, answer.headers["x-sni"])
    ports[i] = answer.headers["x-peer-port"]
end
ngx.say(ports[1] ~= ports[2] and "another connection for another name", ports[1] == ports[3] and ", the same for the same")
--- response_body
another connection for another name, the same for the same
--- no_error_log
[error]



=== TEST 8: HTTPS to a backend that does not speak it: 502
--- rules
[{"rule": "r", "upstream": "one", "backend_protocol": "https", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- error_code: 502
--- error_log
SSL_do_handshake() failed
--- no_error_log
[alert]



=== TEST 9: a rule says that its backends speak gRPC
--- rules
[{"rule": "r", "upstream": "h2", "backend_protocol": "grpc", "internal_dsl": [["STARTS_WITH", "URL", "/pkg.Service/"]]}]
--- groups
[{"name": "h2", "mode": "http", "backends": ["grpc"]}]
--- request
POST /pkg.Service/Method?body=1
message
--- response_headers
X-Protocol: HTTP/2.0
--- response_body chop
grpc POST /pkg.Service/Method?body=1
message
--- no_error_log
[error]



=== TEST 10: a group's mode says that its backends speak gRPC
--- rules
[{"rule": "r", "upstream": "grpc", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- probes
GET /x?y=%20  => grpc GET /x?y=%20
--- no_error_log
[error]



=== TEST 11: gRPC over TLS, with the name by SNI
--- rules
[{"rule": "r", "upstream": "tls", "backend_protocol": "grpcs", "vhost": "inner.example", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- response_headers
X-Protocol: HTTP/2.0
X-SNI: inner.example
--- response_body
tls GET /x
--- no_error_log
[error]



=== TEST 12: rewrites, vhost, headers and stickiness are those of the rule for gRPC too
--- rules
[{"rule": "r", "upstream": "sticky", "backend_protocol": "grpc", "vhost": "inner.example", "rewrite_base": "^/a", "rewrite_target": "/b",
  "config": {"rewrite_request": {"headers": {"X-A": "1"}}, "rewrite_response": {"headers": {"X-B": "2"}}},
  "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/b"]]}]
--- groups
[{"name": "sticky", "session_affinity_policy": "cookie", "backends": ["grpc"]}]
--- request
GET /a/x
--- more_headers
X-Echo: host, x-a, x-real-ip
--- response_headers_like
X-B: 2
Set-Cookie: JSESSIONID=[0-9a-f]{32}; Path=/; HttpOnly
--- response_body
grpc GET /b/x
host: inner.example
x-a: 1
x-real-ip: 127.0.0.1
--- no_error_log
[error]



=== TEST 13: a gRPC group without backends: 503
--- rules
[{"rule": "r", "upstream": "none", "backend_protocol": "grpc", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "none", "mode": "grpc", "backends": []}]
--- request
GET /x
--- error_code: 503
--- error_log
backend group 'none' has no backend
--- no_error_log
[error]



=== TEST 14: a gRPC backend that is not there: the next one is asked
--- rules
[{"rule": "r", "upstream": "half", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "half", "mode": "grpc", "backends": ["dead", "grpc"]}]
--- lua
ngx.say(testing.tally(4))
--- response_body
grpc 4
--- error_log
connect() failed
--- no_error_log
[alert]



=== TEST 15: the timeouts of a rule count for gRPC too
--- rules
[{"rule": "r", "upstream": "grpc", "config": {"timeout": {"proxy_read_timeout_ms": 200}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /?sleep=1
--- error_code: 504
--- error_log
upstream timed out
--- no_error_log
[alert]



=== TEST 16: a connection is upgraded and goes both ways
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local status, echoes = testing.upgrade("/socket", { "hello", "again" })
ngx.say(status)
ngx.say(table.concat(echoes, ", "))
--- response_body
HTTP/1.1 101 Switching Protocols
echo hello, echo again
--- no_error_log
[error]



=== TEST 17: a connection under TLS is upgraded, to a backend with TLS
--- rules
[{"rule": "r", "upstream": "tls", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates
{"443": "default"}
--- lua
local status, echoes = testing.upgrade("/socket", { "hello" }, { tls = { sni = "a.example" } })
ngx.say(status)
ngx.say(table.concat(echoes, ", "))
--- response_body
HTTP/1.1 101 Switching Protocols
echo hello
--- no_error_log
[error]



=== TEST 18: a kept connection is not used for another protocol
--- rules
[{"rule": "g", "upstream": "grpc", "internal_dsl": [["STARTS_WITH", "URL", "/g"]]},
 {"rule": "h", "upstream": "grpc", "backend_protocol": "http", "config": {"timeout": {"proxy_read_timeout_ms": 1000}},
  "internal_dsl": [["STARTS_WITH", "URL", "/h"]]}]
--- lua
for _, path in ipairs({ "/g1", "/h1", "/g2", "/h2" }) do
    local answer = testing.request(path)
    ngx.say(path, " ", answer.status, " ", answer.headers["x-protocol"])
end
--- response_body
/g1 200 HTTP/2.0
/h1 200 HTTP/1.1
/g2 200 HTTP/2.0
/h2 200 HTTP/1.1
--- no_error_log
[error]



=== TEST 19: a connection is not upgraded to HTTP/2, whose requests would pass the rules by
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- raw_request eval
"GET /x HTTP/1.1\r\nHost: a.example\r\nX-Echo: upgrade, connection\r\nUpgrade: websocket, H2C\r\nHTTP2-Settings: AAMAAABk\r\n"
    . "Connection: Upgrade, HTTP2-Settings, close\r\n\r\n"
--- response_body
one GET /x
upgrade: (none)
connection: (none)
--- no_error_log
[error]
