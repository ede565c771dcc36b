# Cross-origin requests: preflights that the gateway answers, headers that it adds to the answers of backends.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: a preflight is answered by the gateway
--- rules
[{"rule": "r", "upstream": "one", "enable_cors": true, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
OPTIONS /a
--- more_headers
Origin: https://a.example
Access-Control-Request-Method: PUT
--- error_code: 204
--- response_headers
Access-Control-Allow-Origin: *
Access-Control-Allow-Methods: GET, PUT, POST, DELETE, PATCH, OPTIONS
Access-Control-Allow-Headers: DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization
Access-Control-Max-Age: 1728000
! Access-Control-Allow-Credentials
! X-Backend
--- response_body
--- no_error_log
[error]



=== TEST 2: a preflight does not need a backend
--- rules
[{"rule": "r", "upstream": "empty", "enable_cors": true, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
OPTIONS /a
--- more_headers
Origin: https://a.example
Access-Control-Request-Method: PUT
--- error_code: 204
--- no_error_log
[error]



=== TEST 3: OPTIONS that no browser's preflight would look like goes to the backend
--- rules
[{"rule": "r", "upstream": "one", "enable_cors": true, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- probes
OPTIONS /a  => one OPTIONS /a
OPTIONS /b  Origin: https://a.example  => one OPTIONS /b
OPTIONS /c  Access-Control-Request-Method: PUT  => one OPTIONS /c
--- no_error_log
[error]



=== TEST 4: the answer of a backend gets the origin, and none of a preflight's headers
--- rules
[{"rule": "r", "upstream": "one", "enable_cors": true, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /a
--- more_headers
Origin: https://a.example
--- response_headers
Access-Control-Allow-Origin: *
! Access-Control-Allow-Methods
! Access-Control-Allow-Headers
! Vary
--- response_body
one GET /a
--- no_error_log
[error]



=== TEST 5: headers that may be sent are the rule's
--- rules
[{"rule": "r", "upstream": "one", "enable_cors": true, "cors_allow_headers": "X-One, X-Two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
OPTIONS /a
--- more_headers
Origin: https://a.example
Access-Control-Request-Method: GET
--- error_code: 204
--- response_headers
Access-Control-Allow-Headers: X-One, X-Two
--- no_error_log
[error]



=== TEST 6: of several origins the request's own is named
--- rules
[{"rule": "r", "upstream": "one", "enable_cors": true, "cors_allow_origin": "https://a.example, https://b.example",
  "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /
--- more_headers
Origin: https://b.example
--- response_headers
Access-Control-Allow-Origin: https://b.example
Access-Control-Allow-Credentials: true
Vary: Origin
--- no_error_log
[error]



=== TEST 7: an origin that is not allowed is not named, in an answer or in a preflight
--- rules
[{"rule": "r", "upstream": "one", "enable_cors": true, "cors_allow_origin": "https://a.example", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request eval
["GET /", "OPTIONS /"]
--- more_headers eval
["Origin: https://a.example.evil", "Origin: https://evil.example\nAccess-Control-Request-Method: PUT"]
--- error_code eval
[200, 204]
--- response_headers eval
["! Access-Control-Allow-Origin\nVary: Origin", "! Access-Control-Allow-Origin\n! Access-Control-Allow-Methods\nVary: Origin"]
--- no_error_log
[error]



=== TEST 8: a backend's own word on origins is replaced, not repeated
--- rules
[{"rule": "r", "upstream": "one", "enable_cors": true, "cors_allow_origin": "https://a.example",
  "config": {"rewrite_response": {"headers": {"X-Seen": "1"}}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /?header=Access-Control-Allow-Origin:*
--- more_headers
Origin: https://a.example
--- raw_response_headers_unlike
Access-Control-Allow-Origin: \*
--- response_headers
Access-Control-Allow-Origin: https://a.example
X-Seen: 1
--- no_error_log
[error]



=== TEST 9: Vary of the backend stays beside ours
--- rules
[{"rule": "r", "upstream": "one", "enable_cors": true, "cors_allow_origin": "https://a.example", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local answer = testing.request("/?header=Vary:Accept", { headers = { Origin = "https://a.example" } })
ngx.say(answer.headers.vary)
--- response_body
Accept | Origin
--- no_error_log
[error]



=== TEST 10: without CORS nothing is added, and OPTIONS is a request like others
--- rules
[{"rule": "r", "upstream": "one", "cors_allow_origin": "https://a.example", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
OPTIONS /x
--- more_headers
Origin: https://a.example
Access-Control-Request-Method: PUT
--- response_headers
! Access-Control-Allow-Origin
--- response_body
one OPTIONS /x
--- no_error_log
[error]



=== TEST 11: a list with "*" on it allows any origin, without credentials
--- rules
[{"rule": "r", "upstream": "one", "enable_cors": true, "cors_allow_origin": "https://a.example, *", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /
--- more_headers
Origin: https://evil.example
--- response_headers
Access-Control-Allow-Origin: *
! Access-Control-Allow-Credentials
--- no_error_log
[error]



=== TEST 12: the origin is the one that the client sent, not the one that the rule has for its backend
--- rules
[{"rule": "r", "upstream": "one", "enable_cors": true, "cors_allow_origin": "https://a.example, https://b.example",
  "config": {"rewrite_request": {"headers_remove": ["Origin"]}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- request
GET /
--- more_headers
Origin: https://a.example
X-Echo: origin
--- response_headers
Access-Control-Allow-Origin: https://a.example
--- response_body
one GET /
origin: (none)
--- no_error_log
[error]
