# The backend is told where a request came from, and the gateway believes trusted proxies alone.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

# For blocks with the section `all_headers`.
my $AllHeaders = <<'_EOC_';
X-Real-IP: 10.1.1.1
X-Forwarded-For: 10.1.1.1
X-Forwarded-Proto: https
X-Forwarded-Host: outer.example
X-Forwarded-Port: 443
X-Forwarded-Prefix: /admin
X-Forwarded-Server: outer
X-Forwarded-Scheme: https
X-Forwarded-Ssl: on
Forwarded: for=10.1.1.1
X-Echo: x-real-ip, x-forwarded-for, x-forwarded-proto, x-forwarded-host, x-forwarded-port, x-forwarded-prefix, x-forwarded-server, x-forwarded-scheme, x-forwarded-ssl, forwarded
_EOC_

each_block(more_headers => sub { return defined $_[0]->all_headers ? $AllHeaders : undef });
each_block(rules => '[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]');

run_tests();

__DATA__

=== TEST 1: what a client says of itself does not reach the backend
--- request
GET /x
--- all_headers
--- response_body eval
"one GET /x
x-real-ip: 127.0.0.1
x-forwarded-for: 127.0.0.1
x-forwarded-proto: http
x-forwarded-host: localhost
x-forwarded-port: $ENV{TEST_NGINX_PORT_HTTP}
x-forwarded-prefix: (none)
x-forwarded-server: (none)
x-forwarded-scheme: (none)
x-forwarded-ssl: (none)
forwarded: (none)
"
--- no_error_log
[error]



=== TEST 2: what a trusted proxy tells reaches the backend, and its address joins the list
--- options
trusted_proxies = "fd00::/8, 127.0.0.0/8",
--- request
GET /x
--- all_headers
--- response_body
one GET /x
x-real-ip: 10.1.1.1
x-forwarded-for: 10.1.1.1, 127.0.0.1
x-forwarded-proto: https
x-forwarded-host: outer.example
x-forwarded-port: 443
x-forwarded-prefix: /admin
x-forwarded-server: outer
x-forwarded-scheme: https
x-forwarded-ssl: on
forwarded: for=10.1.1.1
--- no_error_log
[error]



=== TEST 3: what a trusted proxy does not tell is told by the gateway
--- options
trusted_proxies = "127.0.0.1",
--- request
GET /x
--- more_headers
X-Forwarded-Proto: https
X-Forwarded-Host:
X-Echo: x-real-ip, x-forwarded-for, x-forwarded-proto, x-forwarded-host, forwarded
--- response_body
one GET /x
x-real-ip: 127.0.0.1
x-forwarded-for: 127.0.0.1
x-forwarded-proto: https
x-forwarded-host: localhost
forwarded: (none)
--- no_error_log
[error]



=== TEST 4: a peer beside the networks of the option is not trusted
--- options
trusted_proxies = "127.0.0.2/31, ::/0",
--- request
GET /x
--- more_headers
X-Real-IP: 10.1.1.1
X-Echo: x-real-ip
--- response_body
one GET /x
x-real-ip: 127.0.0.1
--- no_error_log
[error]



=== TEST 5: the headers of a rule stand above what client and proxy say
--- options
trusted_proxies = "127.0.0.1",
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]], "config": {"rewrite_request": {
    "headers_remove": ["X-Real-IP", "x-forwarded-port"],
    "headers": {"X-Forwarded-Proto": "https", "Forwarded": "for=gateway"},
    "headers_add": {"X-Forwarded-For": "10.9.9.9", "X-Forwarded-Prefix": ["/a", "/b"]}}}}]
--- request
GET /x
--- more_headers
X-Real-IP: 10.1.1.1
X-Forwarded-For: 10.1.1.1
X-Forwarded-Proto: gopher
X-Echo: x-real-ip, x-forwarded-for, x-forwarded-proto, x-forwarded-port, x-forwarded-prefix, forwarded
--- response_body
one GET /x
x-real-ip: (none)
x-forwarded-for: 10.1.1.1, 127.0.0.1, 10.9.9.9
x-forwarded-proto: https
x-forwarded-port: (none)
x-forwarded-prefix: /a, /b
forwarded: for=gateway
--- no_error_log
[error]



=== TEST 6: headers with underscores reach the backend
--- request
GET /x
--- more_headers
X_Lane: green
X-Echo: x_lane, x-lane
--- response_body
one GET /x
x_lane: green
x-lane: (none)
--- no_error_log
[error]



=== TEST 7: a header that a backend may take for one of the gateway's does not
--- options
trusted_proxies = "127.0.0.1",
--- request
GET /x
--- more_headers
X_Real_IP: 10.1.1.1
x-real_ip: 10.1.1.1
X_Forwarded_For: 10.1.1.1
X-Forwarded_Proto: https
X_Forwarded-Host: a
Content_Length: 7
transfer_encoding: chunked
X-Echo: x_real_ip, x-real_ip, x-real-ip, x_forwarded_for, x-forwarded-for, x-forwarded_proto, x_forwarded-host, content_length, transfer_encoding
--- response_body
one GET /x
x_real_ip: (none)
x-real_ip: (none)
x-real-ip: 127.0.0.1
x_forwarded_for: (none)
x-forwarded-for: 127.0.0.1
x-forwarded_proto: (none)
x_forwarded-host: (none)
content_length: (none)
transfer_encoding: (none)
--- no_error_log
[error]



=== TEST 8: neither does one that it may take for one that the rule changes
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]], "config": {"rewrite_request": {
    "headers_remove": ["X-Secret"], "headers": {"X-Tenant-Id": "a"}, "headers_add": {"X-Lane": "b"}}}}]
--- request
GET /x
--- more_headers
X_Secret: c
x_tenant-id: c
X-Tenant_Id: c
X_Lane: c
X_Other: c
X-Echo: x_secret, x_tenant-id, x-tenant_id, x-tenant-id, x_lane, x-lane, x_other
--- response_body
one GET /x
x_secret: (none)
x_tenant-id: (none)
x-tenant_id: (none)
x-tenant-id: a
x_lane: (none)
x-lane: b
x_other: c
--- no_error_log
[error]



=== TEST 9: a backend that speaks gRPC is told the same
--- rules
[{"rule": "r", "upstream": "grpc", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- more_headers
X-Real-IP: 10.1.1.1
X_Real_IP: 10.1.1.1
X-Forwarded-For: 10.1.1.1
Forwarded: for=10.1.1.1
X-Echo: x-real-ip, x_real_ip, x-forwarded-for, x-forwarded-host, forwarded
--- response_body
grpc GET /x
x-real-ip: 127.0.0.1
x_real_ip: (none)
x-forwarded-for: 127.0.0.1
x-forwarded-host: localhost
forwarded: (none)
--- no_error_log
[error]



=== TEST 10: sip-hash goes by the peer's address, not by what the client says
--- rules
[{"rule": "r", "upstream": "ring", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "ring", "session_affinity_policy": "sip-hash", "backends": ["one", "two", "three"]}]
--- lua
local first, same = testing.who("/"), 0
for client = 1, 30 do
    local headers = { ["X-Real-IP"] = "10.0.0." .. client, ["X-Forwarded-For"] = "10.0.1." .. client }
    same = same + (testing.who("/", { headers = headers }) == first and 1 or 0)
end
ngx.say(same)
--- response_body
30
--- no_error_log
[error]
