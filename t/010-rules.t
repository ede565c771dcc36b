# Operators and matchers, each on its own, from a request through the rules of its port to a backend or to none.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: EQ on HOST takes this host and no other
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "HOST", "a.example"]]}]
--- probes
GET /  Host: a.example  => one
GET /  Host: b.example  => 404
GET /  Host: x.a.example  => 404
GET /  Host: a.example.org  => 404
--- no_error_log
[error]



=== TEST 2: the host is compared without its port and in any case
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "HOST", "A.Example"]]}]
--- probes
GET /  Host: a.example:8080  => one
GET /  Host: A.EXAMPLE  => one
GET /  Host: A.eXample:443  => one
--- no_error_log
[error]



=== TEST 3: IN on HOST takes each of its hosts
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["IN", "HOST", "a.example", "b.example"]]}]
--- probes
GET /  Host: a.example  => one
GET /  Host: b.example  => one
GET /  Host: c.example  => 404
--- no_error_log
[error]



=== TEST 4: ENDS_WITH on HOST with a wildcard takes exactly one more label
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["ENDS_WITH", "HOST", "*.foo.example"]]}]
--- probes
GET /  Host: a.foo.example  => one
GET /  Host: A.FOO.example:80  => one
GET /  Host: foo.example  => 404
GET /  Host: a.b.foo.example  => 404
GET /  Host: afoo.example  => 404
--- no_error_log
[error]



=== TEST 5: ENDS_WITH on HOST without a wildcard is a plain suffix
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["ENDS_WITH", "HOST", "foo.example"]]}]
--- probes
GET /  Host: foo.example  => one
GET /  Host: a.b.foo.example  => one
GET /  Host: foo.example.org  => 404
--- no_error_log
[error]



=== TEST 6: STARTS_WITH on HOST takes hosts that begin so
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "HOST", "api."]]}]
--- probes
GET /  Host: api.example  => one
GET /  Host: www.api.example  => 404
--- no_error_log
[error]



=== TEST 7: REGEX on HOST is not anchored unless it says so
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["REGEX", "HOST", "^shop[0-9]+\\.example$"]]}]
--- probes
GET /  Host: shop7.example  => one
GET /  Host: SHOP12.example  => one
GET /  Host: shop.example  => 404
GET /  Host: shop7.example.org  => 404
--- no_error_log
[error]



=== TEST 8: EQ on URL takes this path and no other, with any query
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "URL", "/a/b"]]}]
--- probes
GET /a/b  => one
GET /a/b?c=/d  => one
GET /a/b/  => 404
GET /a/B  => 404
GET /a  => 404
--- no_error_log
[error]



=== TEST 9: STARTS_WITH on URL takes paths that begin so
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/api"]]}]
--- probes
GET /api  => one
GET /api/v1?x=1  => one
GET /apis  => one
GET /  => 404
GET /v1/api  => 404
--- no_error_log
[error]



=== TEST 10: a path is compared decoded and normalised
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a b/c"]]}]
--- probes
GET /a%20b/c  => one
GET /x/../a%20b//c/d  => one
GET /a%20b/./c  => one
GET /a+b/c  => 404
--- no_error_log
[error]



=== TEST 11: ENDS_WITH on URL is a plain suffix
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["ENDS_WITH", "URL", ".png"]]}]
--- probes
GET /a/b.png?x=1  => one
GET /b.png/c  => 404
--- no_error_log
[error]



=== TEST 12: REGEX on URL sees the path only
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["REGEX", "URL", "^/v[12]/(users|groups)/\\d+$"]]}]
--- probes
GET /v1/users/17  => one
GET /v2/groups/4?x  => one
GET /v3/users/17  => 404
GET /v1/users/me  => 404
GET /?/v1/users/17  => 404
--- no_error_log
[error]



=== TEST 13: EQ and IN on METHOD
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "METHOD", "DELETE"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["IN", "METHOD", "PUT", "PATCH"]]}]
--- probes
DELETE /  => one
PUT /  => two
PATCH /  => two
GET /  => 404
HEAD /  => 404
--- no_error_log
[error]



=== TEST 14: SRC_IP is X-Real-IP when a trusted proxy sent it
--- options
trusted_proxies = "127.0.0.1",
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "SRC_IP", "10.1.2.3"]]}]
--- probes
GET /  X-Real-IP: 10.1.2.3  => one
GET /  X-Real-IP: 10.1.2.3  X-Forwarded-For: 10.9.9.9  => one
GET /  X-Real-IP: 10.1.2.4  X-Forwarded-For: 10.1.2.3  => 404
GET /  => 404
--- no_error_log
[error]



=== TEST 15: SRC_IP is the last of X-Forwarded-For that is not a trusted proxy's when there is no X-Real-IP
--- options
trusted_proxies = "127.0.0.1",
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "SRC_IP", "10.1.2.3"]]}]
--- probes
GET /  X-Forwarded-For: 10.1.2.3  => one
GET /  X-Forwarded-For: 10.9.9.9, 10.1.2.3  => one
GET /  X-Forwarded-For: 10.9.9.9 ,10.1.2.3, 127.0.0.1 ,127.0.0.1  => one
GET /  X-Forwarded-For: 10.1.2.3, 10.9.9.9  => 404
GET /  X-Forwarded-For: 10.1.2.3, unknown  => 404
GET /  X-Forwarded-For: unknown, 10.1.2.3  => one
--- no_error_log
[error]



=== TEST 16: SRC_IP is the peer's address, not what the client says, when the peer is no trusted proxy
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "SRC_IP", "127.0.0.1"]]}]
--- probes
GET /  => one
GET /  X-Real-IP: 10.1.2.3  => one
GET /  X-Forwarded-For: 10.1.2.3  => one
--- no_error_log
[error]



=== TEST 17: RANGE on SRC_IP compares addresses as addresses
--- options
trusted_proxies = "127.0.0.1",
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["RANGE", "SRC_IP", "10.0.0.9", "10.0.0.100"]]}]
--- probes
GET /  X-Real-IP: 10.0.0.9  => one
GET /  X-Real-IP: 10.0.0.20  => one
GET /  X-Real-IP: 10.0.0.100  => one
GET /  X-Real-IP: 10.0.0.8  => 404
GET /  X-Real-IP: 10.0.0.101  => 404
GET /  X-Real-IP: 10.0.1.20  => 404
--- no_error_log
[error]



=== TEST 18: RANGE on SRC_IP knows IPv6, and an address of the other family is in no range
--- options
trusted_proxies = "127.0.0.1",
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["RANGE", "SRC_IP", "fd00::1", "fd00::ff"]]}]
--- probes
GET /  X-Real-IP: fd00::a0  => one
GET /  X-Real-IP: FD00:0:0:0:0:0:0:20  => one
GET /  X-Real-IP: fd00::100  => 404
GET /  X-Real-IP: 10.0.0.1  => 404
GET /  X-Real-IP: not-an-address  => 404
--- no_error_log
[error]



=== TEST 19: EQ on HEADER compares the whole value, and the header's name in any case
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "HEADER", "X-Tenant", "blue"]]}]
--- probes
GET /  X-Tenant: blue  => one
GET /  x-tenant: blue  => one
GET /  X-Tenant: Blue  => 404
GET /  X-Tenant: blue2  => 404
GET /  => 404
--- no_error_log
[error]



=== TEST 20: IN, STARTS_WITH and REGEX on HEADER
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["IN", "HEADER", "x-a", "1", "2"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["STARTS_WITH", "HEADER", "User-Agent", "curl/"]]},
 {"rule": "t", "upstream": "three", "internal_dsl": [["REGEX", "HEADER", "Accept-Language", "^de(-|,|;|$)"]]}]
--- probes
GET /  X-A: 2  => one
GET /  X-A: 3  => 404
GET /  User-Agent: curl/8.0  => two
GET /  Accept-Language: de-CH, de;q=0.9  => three
GET /  Accept-Language: en, de  => 404
--- no_error_log
[error]



=== TEST 21: EXIST on HEADER asks only whether it came
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EXIST", "HEADER", "Authorization"]]}]
--- probes
GET /  Authorization: anything  => one
GET /  => 404
--- no_error_log
[error]



=== TEST 22: EQ on PARAM compares the decoded argument of the query
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "PARAM", "who", "a b&c"]]}]
--- probes
GET /?who=a%20b%26c  => one
GET /?x=1&who=a+b%26c&y  => one
GET /?who=a  => 404
GET /?WHO=a%20b%26c  => 404
GET /  => 404
--- no_error_log
[error]



=== TEST 23: EXIST on PARAM takes an argument without a value
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EXIST", "PARAM", "debug"]]}]
--- probes
GET /?debug  => one
GET /?debug=  => one
GET /?debug=1  => one
GET /?debugger=1  => 404
--- no_error_log
[error]



=== TEST 24: of an argument that comes twice the first counts
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "PARAM", "v", "1"]]}]
--- probes
GET /?v=1&v=2  => one
GET /?v=2&v=1  => 404
--- no_error_log
[error]



=== TEST 25: RANGE on PARAM compares numbers as numbers
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["RANGE", "PARAM", "n", "9", "100"]]}]
--- probes
GET /?n=9  => one
GET /?n=42  => one
GET /?n=99.5  => one
GET /?n=100  => one
GET /?n=8  => 404
GET /?n=1000  => 404
GET /?n=abc  => 404
GET /?n=  => 404
--- no_error_log
[error]



=== TEST 26: RANGE on HEADER compares texts as texts
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["RANGE", "HEADER", "X-Name", "b", "d"]]}]
--- probes
GET /  X-Name: b  => one
GET /  X-Name: carol  => one
GET /  X-Name: d  => one
GET /  X-Name: dave  => 404
GET /  X-Name: alice  => 404
--- no_error_log
[error]



=== TEST 27: EQ on COOKIE looks at this cookie among others
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "COOKIE", "lane", "green"]]}]
--- probes
GET /  Cookie: lane=green  => one
GET /  Cookie: a=b; lane=green; c=d  => one
GET /  Cookie: lane=greener  => 404
GET /  Cookie: other=lane=green  => 404
GET /  => 404
--- no_error_log
[error]



=== TEST 28: of two cookies of one name the first counts, as in nginx
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "COOKIE", "lane", "green"]]}]
--- config
location = /variable {
    return 200 "$cookie_lane";
}
--- lua
local function ask(headers)
    local lines = "GET %s HTTP/1.0\r\nHost: localhost\r\n" .. headers .. "\r\n"
    local function send(path)
        local sock = assert(testing.connect("http"))
        assert(sock:send(lines:format(path)))
        local answer = assert(testing.receive(sock, {}))
        sock:close()
        return answer
    end
    ngx.say(testing.backend_of(send("/")), " ", send("/variable").body)
end
ask("Cookie: lane=green; lane=red\r\n")
ask("Cookie: lane=red; lane=green\r\n")
ask("Cookie: lane=green\r\nCookie: lane=red\r\n")
ask("Cookie: lane=red\r\nCookie: lane=green\r\n")
--- response_body
one green
404 red
one green
404 red
--- no_error_log
[error]



=== TEST 29: an empty cookie is there
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EXIST", "COOKIE", "lane"]]}]
--- probes
GET /  Cookie: lane=  => one
GET /  Cookie: a=b; lane=; c=d  => one
GET /  Cookie: lane  => 404
GET /  Cookie: lanes=a  => 404
--- no_error_log
[error]



=== TEST 30: a header with an underscore is one of its own
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "HEADER", "X_Lane", "green"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["EQ", "HEADER", "X-Lane", "green"]]}]
--- probes
GET /  X_Lane: green  => one
GET /  x_lane: green  => one
GET /  X-Lane: green  => two
GET /  X_Lane: red  X-Lane: green  => two
GET /  X_Lane: green  X-Lane: red  => one
GET /  X-Lane: red  => 404
--- no_error_log
[error]



=== TEST 31: EXIST and REGEX on COOKIE
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EXIST", "COOKIE", "session"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["REGEX", "COOKIE", "group", "^beta-"]]}]
--- probes
GET /  Cookie: session=1  => one
GET /  Cookie: group=beta-3  => two
GET /  Cookie: group=alpha  => 404
--- no_error_log
[error]



=== TEST 32: AND needs all of its expressions
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["AND", ["EQ", "HOST", "a.example"], ["STARTS_WITH", "URL", "/x"], ["EQ", "METHOD", "GET"]]]}]
--- probes
GET /x/1  Host: a.example  => one
POST /x/1  Host: a.example  => 404
GET /y  Host: a.example  => 404
GET /x/1  Host: b.example  => 404
--- no_error_log
[error]



=== TEST 33: OR needs one of its expressions
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["OR", ["EQ", "HOST", "a.example"], ["STARTS_WITH", "URL", "/x"]]]}]
--- probes
GET /  Host: a.example  => one
GET /x  Host: b.example  => one
GET /  Host: b.example  => 404
--- no_error_log
[error]



=== TEST 34: AND and OR go into each other
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["AND", ["OR", ["EQ", "HOST", "a.example"], ["EQ", "HOST", "b.example"]],
    ["OR", ["AND", ["EQ", "METHOD", "GET"], ["STARTS_WITH", "URL", "/r"]], ["AND", ["EQ", "METHOD", "POST"], ["STARTS_WITH", "URL", "/w"]]]]]}]
--- probes
GET /r  Host: a.example  => one
POST /w  Host: b.example  => one
GET /w  Host: a.example  => 404
POST /r  Host: b.example  => 404
GET /r  Host: c.example  => 404
--- no_error_log
[error]



=== TEST 35: several expressions of a rule must all hold
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "HOST", "a.example"], ["EQ", "URL", "/x"]]}]
--- probes
GET /x  Host: a.example  => one
GET /x  Host: b.example  => 404
GET /y  Host: a.example  => 404
--- no_error_log
[error]



=== TEST 36: one expression may stand without a list around it
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": ["EQ", "HOST", "a.example"]}]
--- probes
GET /  Host: a.example  => one
GET /  Host: b.example  => 404
--- no_error_log
[error]



=== TEST 37: numbers are taken as their text
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "PARAM", "v", 2]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["RANGE", "PARAM", "n", 5, 10]]}]
--- probes
GET /?v=2  => one
GET /?n=7  => two
GET /?n=11  => 404
--- no_error_log
[error]



=== TEST 38: a request of HTTP/1.0 without a host has none to compare
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EXIST", "HOST"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["EQ", "URL", "/x"]]}]
--- server_name eval: ""
--- raw_request eval
"GET /x HTTP/1.0\r\n\r\n"
--- response_body
two GET /x
--- no_error_log
[error]



=== TEST 39: nothing matches: 404, a short text, and one line that says why
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "HOST", "a.example"]]}]
--- request
GET /no%0a%22where
--- more_headers
Host: b.example
--- error_code: 404
--- response_headers
Content-Type: text/plain
--- response_body
nothing here
--- error_log eval
qr{\[warn\].*no answer for port 80, host b\.example, path /no\\x0a"where: no rule matches}
--- no_error_log
[error]



=== TEST 40: a port that the policy does not name says so
--- policy
{"http": {"tcp": {"81": []}}, "backend_group": []}
--- request
GET /
--- error_code: 404
--- error_log
no answer for port 80, host localhost, path /: the port has no rules
--- no_error_log
[error]



=== TEST 41: rules of one port are not those of another
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- https_rules
[{"rule": "s", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- certificates
{"443": "default"}
--- probes
GET /  Host: a.example  => one
GET https://a.example/  => two
--- no_error_log
[error]



=== TEST 42: SRC_IP is the peer's address when X-Forwarded-For names none
--- options
trusted_proxies = "127.0.0.1",
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "SRC_IP", "127.0.0.1"]]}]
--- probes
GET /  X-Forwarded-For: ,  => one
GET /  X-Forwarded-For: 127.0.0.1  => one
GET /  X-Forwarded-For: 10.1.2.3, unknown  => one
--- no_error_log
[error]



=== TEST 43: an X-Forwarded-For full of blanks does not keep the worker busy
--- options
trusted_proxies = "127.0.0.1",
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "SRC_IP", "127.0.0.1"]]}]
--- lua
for _, tail in ipairs({ "b", "b, c", ", c" }) do
    ngx.update_time()
    local began = ngx.now()
    local who = testing.who("/", { headers = { ["X-Forwarded-For"] = "a" .. (" "):rep(30000) .. tail } })
    ngx.update_time()
    ngx.say(who, ngx.now() - began < 0.5 and " at once" or " after " .. ngx.now() - began .. " s")
end
--- response_body
one at once
one at once
one at once
--- no_error_log
[error]
