# Redirects: Location and status of a rule.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: a redirect to a url is a 302 unless the rule says otherwise
--- rules
[{"rule": "r", "redirect_url": "https://b.example/there?x=1", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]}]
--- request
GET /a/b?y=2
--- error_code: 302
--- response_headers
Location: https://b.example/there?x=1
--- no_error_log
[error]



=== TEST 2: the code is the rule's
--- rules
[{"rule": "a", "redirect_url": "/x", "redirect_code": 301, "internal_dsl": [["EQ", "URL", "/301"]]},
 {"rule": "b", "redirect_url": "/x", "redirect_code": 302, "internal_dsl": [["EQ", "URL", "/302"]]},
 {"rule": "c", "redirect_url": "/x", "redirect_code": 303, "internal_dsl": [["EQ", "URL", "/303"]]},
 {"rule": "d", "redirect_url": "/x", "redirect_code": 307, "internal_dsl": [["EQ", "URL", "/307"]]},
 {"rule": "e", "redirect_url": "/x", "redirect_code": 308, "internal_dsl": [["EQ", "URL", "/308"]]},
 {"rule": "f", "redirect_url": "/x", "redirect_code": 0, "internal_dsl": [["EQ", "URL", "/0"]]}]
--- probes
GET /301  => 301 /x
GET /302  => 302 /x
GET /303  => 303 /x
GET /307  => 307 /x
GET /308  => 308 /x
GET /0  => 302 /x
--- no_error_log
[error]



=== TEST 3: a scheme alone keeps host, path and query and takes the scheme's port
--- rules
[{"rule": "r", "redirect_scheme": "https", "redirect_code": 308, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- probes
GET /a/b?c=d  Host: a.example  => 308 https://a.example/a/b?c=d
GET /  Host: a.example:8080  => 308 https://a.example/
GET /%20%2F?x=%26  Host: a.example  => 308 https://a.example/%20%2F?x=%26
--- no_error_log
[error]



=== TEST 4: a host alone keeps scheme, path and the port that the client named
--- rules
[{"rule": "r", "redirect_host": "b.example", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- probes
GET /a?b  Host: a.example  => 302 http://b.example/a?b
GET /a  Host: a.example:8080  => 302 http://b.example:8080/a
GET /a  Host: a.example:80  => 302 http://b.example/a
--- no_error_log
[error]



=== TEST 5: a port alone keeps scheme and host
--- rules
[{"rule": "r", "redirect_port": 9000, "internal_dsl": [["STARTS_WITH", "URL", "/n"]]},
 {"rule": "s", "redirect_port": 80, "internal_dsl": [["STARTS_WITH", "URL", "/d"]]}]
--- probes
GET /n  Host: a.example  => 302 http://a.example:9000/n
GET /d  Host: a.example:8080  => 302 http://a.example/d
--- no_error_log
[error]



=== TEST 6: scheme, host, port and path together
--- rules
[{"rule": "r", "redirect_scheme": "https", "redirect_host": "b.example", "redirect_port": 8443, "redirect_url": "/new",
  "internal_dsl": [["EQ", "URL", "/all"]]},
 {"rule": "s", "redirect_scheme": "https", "redirect_port": 443, "redirect_url": "new", "internal_dsl": [["EQ", "URL", "/some"]]}]
--- probes
GET /all?x=1  Host: a.example  => 302 https://b.example:8443/new
GET /some  Host: a.example:1234  => 302 https://a.example/new
--- no_error_log
[error]



=== TEST 7: a path alone stays relative, so that scheme and host are those the client knows
--- rules
[{"rule": "r", "redirect_url": "/new?x=1", "internal_dsl": [["EQ", "URL", "/old"]]}]
--- request
GET /old
--- error_code: 302
--- raw_response_headers_like: Location: /new\?x=1
--- no_error_log
[error]



=== TEST 8: an absolute url is not touched by host, scheme and port
--- rules
[{"rule": "r", "redirect_url": "https://c.example/x", "redirect_host": "b.example", "redirect_port": 1, "internal_dsl": [["EQ", "URL", "/a"]]}]
--- probes
GET /a  => 302 https://c.example/x
--- no_error_log
[error]



=== TEST 9: a path that looks like another host does not lead there
--- rules
[{"rule": "r", "redirect_code": 301, "redirect_scheme": "https", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- probes
GET //evil.example/x  Host: a.example  => 301 https://a.example//evil.example/x
--- no_error_log
[error]



=== TEST 10: the absolute form of a request line is cut to its path
--- rules
[{"rule": "r", "redirect_scheme": "https", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- raw_request eval
"GET http://a.example/b?c HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
--- error_code: 302
--- response_headers
Location: https://a.example/b?c
--- no_error_log
[error]



=== TEST 11: a redirect of a TLS listener keeps https
--- rules
[{"rule": "r", "redirect_host": "b.example", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates
{"443": "default"}
--- probes
GET https://a.example/x  => 302 https://b.example/x
--- no_error_log
[error]



=== TEST 12: a rule that redirects needs no backend group
--- rules
[{"rule": "r", "redirect_url": "/x", "upstream": "", "internal_dsl": [["EQ", "URL", "/a"]]},
 {"rule": "s", "redirect_url": "/y", "upstream": "no-such-group", "internal_dsl": [["EQ", "URL", "/b"]]}]
--- probes
GET /a  => 302 /x
GET /b  => 302 /y
--- no_error_log
[error]



=== TEST 13: HEAD and POST are redirected as GET is
--- rules
[{"rule": "r", "redirect_url": "/x", "redirect_code": 307, "internal_dsl": [["EQ", "URL", "/a"]]}]
--- probes
HEAD /a  => 307 /x
POST /a  => 307 /x
--- no_error_log
[error]



=== TEST 14: the port of an absolute form is the one that the client knows
--- rules
[{"rule": "r", "redirect_host": "b.example", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- raw_request eval
"GET http://a.example:8080/x HTTP/1.1\r\nHost: other.example:81\r\nConnection: close\r\n\r\n"
--- error_code: 302
--- response_headers
Location: http://b.example:8080/x
--- no_error_log
[error]
