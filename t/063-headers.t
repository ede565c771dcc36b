# Headers that a rule removes, sets and adds, of requests and of responses.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: a request header is set in the place of what the client sent
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_request": {"headers": {"X-A": "gateway", "X-B": "new"}}},
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- more_headers
X-A: client
X-Echo: x-a, x-b
--- response_body
one GET /x
x-a: gateway
x-b: new
--- no_error_log
[error]



=== TEST 2: a request header is removed, however often it came
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_request": {"headers_remove": ["X-A", "x-b"]}},
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- more_headers
X-A: 1
X-A: 2
X-B: 3
X-C: 4
X-Echo: x-a, x-b, x-c
--- response_body
one GET /x
x-a: (none)
x-b: (none)
x-c: 4
--- no_error_log
[error]



=== TEST 3: a request header is added to those that the client sent
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_request": {"headers_add": {"X-A": ["g1", "g2"], "X-B": "g3"}}},
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- more_headers
X-A: c1
X-Echo: x-a, x-b
--- response_body
one GET /x
x-a: c1 | g1 | g2
x-b: g3
--- no_error_log
[error]



=== TEST 4: of one header, removing comes first, then setting, then adding
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_request":
    {"headers_add": {"X-A": "added", "X-B": "added"}, "headers": {"X-A": "set"}, "headers_remove": ["X-A", "X-B"]}},
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- more_headers
X-A: client
X-B: client
X-Echo: x-a, x-b
--- response_body
one GET /x
x-a: set | added
x-b: added
--- no_error_log
[error]



=== TEST 5: the Host of a request can be set
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_request": {"headers": {"Host": "set.example"}}},
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /x
--- more_headers
Host: a.example
X-Echo: host
--- response_body
one GET /x
host: set.example
--- no_error_log
[error]



=== TEST 6: rules are matched by what the client sent, not by what a rule sets
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_request": {"headers": {"X-A": "2"}}}, "internal_dsl": [["EQ", "HEADER", "X-A", "1"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["EQ", "HEADER", "X-A", "2"]]}]
--- probes
GET /  X-A: 1  => one
GET /  X-A: 2  => two
--- no_error_log
[error]



=== TEST 7: a response header is set in the place of the backend's
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_response": {"headers": {"X-A": "gateway", "Cache-Control": "no-store"}}},
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /?header=X-A:backend&header=X-A:again&header=Cache-Control:public
--- response_headers
X-A: gateway
Cache-Control: no-store
--- raw_response_headers_unlike
backend|again|public
--- no_error_log
[error]



=== TEST 8: a response header is removed
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_response": {"headers_remove": ["X-A", "x-backend"]}},
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /?header=X-A:1&header=X-A:2&header=X-B:3
--- response_headers
! X-A
! X-Backend
X-B: 3
--- no_error_log
[error]



=== TEST 9: a response header is added to the backend's
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_response": {"headers_add": {"Link": ["<a>", "<b>"], "X-New": "1"}}},
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local headers = testing.request("/?header=Link:<z>").headers
ngx.say(headers.link, " ", headers["x-new"])
--- response_body
<z> | <a> | <b> 1
--- no_error_log
[error]



=== TEST 10: a cookie that a rule adds leaves the backend's cookies alone
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_response": {"headers_add": {"Set-Cookie": "g=1"}}},
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.say(testing.request("/?header=Set-Cookie:a=1&header=Set-Cookie:b=2").headers["set-cookie"])
--- response_body
a=1 | b=2 | g=1
--- no_error_log
[error]



=== TEST 11: response headers are set on redirects too
--- rules
[{"rule": "r", "redirect_url": "/there", "config": {"rewrite_response": {"headers": {"X-A": "1"}}}, "internal_dsl": [["EQ", "URL", "/redirect"]]}]
--- request
GET /redirect
--- error_code: 302
--- response_headers
X-A: 1
--- no_error_log
[error]



=== TEST 12: response headers are set on errors of the gateway too
--- rules
[{"rule": "s", "upstream": "dead", "config": {"rewrite_response": {"headers": {"X-A": "2"}}}, "internal_dsl": [["EQ", "URL", "/dead"]]}]
--- request
GET /dead
--- error_code: 502
--- response_headers
X-A: 2
--- error_log
connect() failed
--- no_error_log
[alert]



=== TEST 13: a rule without changes changes nothing
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_request": {}, "rewrite_response": null}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /?header=X-A:1
--- more_headers
X-B: 2
X-Echo: x-b
--- response_headers
X-A: 1
--- response_body
one GET /?header=X-A:1
x-b: 2
--- no_error_log
[error]



=== TEST 14: a request header is added beside the client's, however many headers there are
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_request": {"headers_add": {"X-A": "gateway"}}},
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- more_headers eval
join("", map { "X-Filler-$_: x\r\n" } 1 .. 120) . "X-A: client\r\nX-Where: x-a"
--- groups
[{"name": "one", "backends": ["free"]}]
--- http_config
server { listen 127.0.0.1:$TEST_NGINX_PORT_FREE; return 200 "$http_x_a\n"; }
--- request
GET /x
--- response_body
client, gateway
--- no_error_log
[error]



=== TEST 15: what says where a message ends is not a rule's to change
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_request": {"headers": {"content-length": "3"}},
  "rewrite_response": {"headers_add": {"Transfer-Encoding": "chunked"}}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]},
 {"rule": "next", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- probes
GET /x  => two
--- error_log
rule 'r' left out: config.rewrite_request.headers: 'content-length' says where a message ends, which no rule can change; config.rewrite_response.headers_add: 'Transfer-Encoding' says where a message ends, which no rule can change



=== TEST 16: a header of an answer is called as the rule says
--- rules
[{"rule": "r", "upstream": "one", "config": {"rewrite_response": {"headers": {"X_Set": "1"}, "headers_add": {"X_Added": "2"}}},
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local headers = testing.request("/x").headers
ngx.say(headers.x_set, " ", headers.x_added)
--- response_body
1 2
--- no_error_log
[error]
