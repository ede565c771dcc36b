# Rewritten paths and queries, and the host that a backend is told.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: without a rewrite path and query go on as the client sent them
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- probes
GET /a%20b/c?d=%2F&e  => one GET /a%20b/c?d=%2F&e
GET //x/../y/./z  => one GET //x/../y/./z
GET /%E4%BD%A0?  => one GET /%E4%BD%A0?
--- no_error_log
[error]



=== TEST 2: what rewrite_base finds is replaced by the target, and the query stays
--- rules
[{"rule": "r", "upstream": "one", "rewrite_base": "/api", "rewrite_target": "/v2", "internal_dsl": [["STARTS_WITH", "URL", "/api"]]}]
--- probes
GET /api/users?x=1  => one GET /v2/users?x=1
GET /api  => one GET /v2
--- no_error_log
[error]



=== TEST 3: without a base the rule's url is what is replaced
--- rules
[{"rule": "r", "upstream": "one", "url": "/api", "rewrite_target": "/", "internal_dsl": [["STARTS_WITH", "URL", "/api"]]}]
--- probes
GET /api  => one GET /
GET /apix/y  => one GET /x/y
--- no_error_log
[error]



=== TEST 4: groups of the base stand in the target
--- rules
[{"rule": "r", "upstream": "one", "rewrite_base": "^/shop/([^/]+)/(\\d+)$", "rewrite_target": "/items/$2/of/${1}s",
  "internal_dsl": [["STARTS_WITH", "URL", "/shop"]]}]
--- probes
GET /shop/book/17?q=1  => one GET /items/17/of/books?q=1
GET /shop/book/x  => one GET /shop/book/x
--- no_error_log
[error]



=== TEST 5: ".*" replaces the whole path
--- rules
[{"rule": "r", "upstream": "one", "rewrite_base": ".*", "rewrite_target": "/index.html", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- probes
GET /any/where?x=1  => one GET /index.html?x=1
--- no_error_log
[error]



=== TEST 6: a query in the target replaces the request's own
--- rules
[{"rule": "r", "upstream": "one", "rewrite_base": "^/u/(.*)$", "rewrite_target": "/user?name=$1&v=2", "internal_dsl": [["STARTS_WITH", "URL", "/u/"]]}]
--- probes
GET /u/carol?x=1  => one GET /user?name=carol&v=2
GET /u/a%26b%20c  => one GET /user?name=a%26b%20c&v=2
--- no_error_log
[error]



=== TEST 7: what was escaped in the path is escaped again, a question mark included
--- rules
[{"rule": "s", "upstream": "two", "rewrite_base": "^/b", "rewrite_target": "/c", "internal_dsl": [["STARTS_WITH", "URL", "/b"]]}]
--- probes
GET /b/x%20y%3Fz%25?q=%20  => two GET /c/x%20y%3Fz%25?q=%20
GET /b/%0d%0aX-Evil:%201  => two GET /c/%0D%0AX-Evil:%201
--- no_error_log
[error]



=== TEST 8: a target without a slash at its beginning gets one
--- rules
[{"rule": "s", "upstream": "two", "rewrite_base": "^/b", "rewrite_target": "c", "internal_dsl": [["STARTS_WITH", "URL", "/b"]]}]
--- probes
GET /b/x  => two GET /c/x
--- no_error_log
[error]



=== TEST 9: a rewrite does not change which rule was taken
--- rules
[{"rule": "r", "upstream": "one", "rewrite_base": "/a", "rewrite_target": "/b", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/b"]]}]
--- probes
GET /a/x  => one GET /b/x
GET /b/x  => two GET /b/x
--- no_error_log
[error]



=== TEST 10: the backend is told the host that the client named, with its port
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- more_headers
Host: A.example:8080
X-Echo: host
--- response_body
one GET /x
host: A.example:8080
--- no_error_log
[error]



=== TEST 11: the backend is told the rule's vhost instead
--- rules
[{"rule": "r", "upstream": "one", "vhost": "inner.example", "internal_dsl": [["EQ", "HOST", "a.example"]]}]
--- request
GET /x
--- more_headers
Host: a.example
X-Echo: host, x-forwarded-host
--- response_body
one GET /x
host: inner.example
x-forwarded-host: a.example
--- no_error_log
[error]



=== TEST 12: the backend is told who asks, by which scheme and port
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- more_headers
X-Echo: x-real-ip, x-forwarded-for, x-forwarded-proto, x-forwarded-host, x-forwarded-port
--- response_body eval
"one GET /x
x-real-ip: 127.0.0.1
x-forwarded-for: 127.0.0.1
x-forwarded-proto: http
x-forwarded-host: localhost
x-forwarded-port: $ENV{TEST_NGINX_PORT_HTTP}
"
--- no_error_log
[error]




=== TEST 13: method and body go on as they came
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
PUT /x?body=1
some content
--- response_body chop
one PUT /x?body=1
some content
--- no_error_log
[error]



=== TEST 14: status and headers of the backend come back as they are
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x?status=418&header=X-Tea:green&header=Location:/y
--- error_code: 418
--- response_headers
X-Tea: green
Location: /y
--- no_error_log
[error]



=== TEST 15: the backend is told the host that the rule was chosen by, also when the Host header of an absolute form says another
--- rules
[{"rule": "a", "upstream": "one", "internal_dsl": [["EQ", "HOST", "a.example"]]},
 {"rule": "b", "upstream": "two", "internal_dsl": [["EQ", "HOST", "b.example"]]}]
--- raw_request eval
"GET http://a.example:81/x HTTP/1.1\r\nHost: b.example:82\r\nX-Echo: host, x-forwarded-host\r\nConnection: close\r\n\r\n"
--- response_body
one GET /x
host: a.example
x-forwarded-host: a.example:81
--- no_error_log
[error]



=== TEST 16: a rule's own Host counts for the absolute form too
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_request": {"headers": {"Host": "c.example"}}},
  "internal_dsl": [["EQ", "HOST", "a.example"]]}]
--- raw_request eval
"GET http://a.example/x HTTP/1.1\r\nHost: b.example\r\nX-Echo: host\r\nConnection: close\r\n\r\n"
--- response_body
one GET /x
host: c.example
--- no_error_log
[error]



=== TEST 17: a backend cannot send a request on to another rule
--- rules
[{"rule": "open", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/open"]]},
 {"rule": "closed", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/closed"]]}]
--- request
GET /open?header=X-Accel-Redirect:/closed
--- response_headers
X-Backend: one
! X-Accel-Redirect
--- response_body
one GET /open?header=X-Accel-Redirect:/closed
--- no_error_log
[error]



=== TEST 18: the head of an answer may be large
--- rules
[{"rule": "r", "upstream": "large", "internal_dsl": [["STARTS_WITH", "URL", "/"]]},
 {"rule": "g", "upstream": "large", "backend_protocol": "grpc", "internal_dsl": [["STARTS_WITH", "URL", "/grpc"]]}]
--- groups
[{"name": "large", "backends": ["free"]}]
--- http_config
server {
    listen 127.0.0.1:$TEST_NGINX_PORT_FREE;
    http2 on;
    location / {
        content_by_lua_block {
            ngx.header["X-Large"] = ("x"):rep(12000)
            ngx.say("large")
        }
    }
}
--- lua
for _, path in ipairs({ "/", "/grpc" }) do
    local answer = testing.request(path)
    ngx.say(answer.status, " ", #(answer.headers["x-large"] or ""))
end
--- response_body
200 12000
200 12000
--- no_error_log
[error]
