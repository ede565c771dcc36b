# resty.cookie: the cookies of a request, and those that a response sets.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

workers(1);

run_tests();

__DATA__

=== TEST 1: a cookie is read by its name
--- lua
local cookie = assert(require("resty.cookie"):new())
ngx.say((cookie:get("session")), " ", (cookie:get("lang")))
--- more_headers
Cookie: session=31d4d96e407aad42; lang=en-US
--- response_body
31d4d96e407aad42 en-US
--- no_error_log
[error]



=== TEST 2: all cookies are read at once
--- lua
local fields = assert(require("resty.cookie"):new():get_all())
local names = {}
for name, value in pairs(fields) do
    names[#names + 1] = name .. "=" .. value
end
table.sort(names)
ngx.say(table.concat(names, " "))
--- more_headers
Cookie: b=2; a=1; c=3
--- response_body
a=1 b=2 c=3
--- no_error_log
[error]



=== TEST 3: several Cookie headers count as one
--- lua
local cookie = require("resty.cookie"):new()
ngx.say((cookie:get("a")), " ", (cookie:get("b")))
--- more_headers
Cookie: a=1
Cookie: b=2
--- response_body
1 2
--- no_error_log
[error]



=== TEST 4: without a Cookie header there is an error, which is not logged
--- lua
local cookie = assert(require("resty.cookie"):new())
local value, err = cookie:get("a")
ngx.say(value, " ", err)
local all
all, err = cookie:get_all()
ngx.say(all, " ", err)
--- response_body
nil no cookie found in the current request
nil no cookie found in the current request
--- no_error_log
[error]



=== TEST 5: a cookie that is not there is nil
--- lua
ngx.say((require("resty.cookie"):new():get("b")))
--- more_headers
Cookie: a=1
--- response_body
nil
--- no_error_log
[error]



=== TEST 6: an empty value is an empty text
--- lua
local cookie = require("resty.cookie"):new()
ngx.say("(", (cookie:get("a")), ") (", (cookie:get("b")), ")")
--- more_headers
Cookie: a=; b=
--- response_body
() ()
--- no_error_log
[error]



=== TEST 7: a value may hold the sign that ends the name
--- lua
ngx.say((require("resty.cookie"):new():get("a")))
--- more_headers
Cookie: a=b=c==; d=1
--- response_body
b=c==
--- no_error_log
[error]



=== TEST 8: names are told apart by case
--- lua
local cookie = require("resty.cookie"):new()
ngx.say((cookie:get("JSESSIONID")), " ", (cookie:get("jsessionid")))
--- more_headers
Cookie: JSESSIONID=upper; jsessionid=lower
--- response_body
upper lower
--- no_error_log
[error]



=== TEST 9: a cookie is set with its attributes
--- lua
local ok, err = require("resty.cookie"):new():set({
    key = "JSESSIONID", value = "abc", path = "/", httponly = true, secure = true, max_age = 50,
})
ngx.say(ok, " ", err)
--- response_body
true nil
--- raw_response_headers_like: Set-Cookie: JSESSIONID=abc; Max-Age=50; Path=/; Secure; HttpOnly\r\n
--- no_error_log
[error]



=== TEST 10: further cookies are added
--- lua
local cookie = require("resty.cookie"):new()
for _, name in ipairs { "a", "b", "c" } do
    assert(cookie:set({ key = name, value = name .. "1", path = "/" }))
end
ngx.say("set")
--- response_body
set
--- raw_response_headers_like: Set-Cookie: a=a1; Path=/\r\nSet-Cookie: b=b1; Path=/\r\nSet-Cookie: c=c1; Path=/\r\n
--- no_error_log
[error]



=== TEST 11: a cookie that is set twice alike is set once
--- lua
local cookie = require("resty.cookie"):new()
cookie:set({ key = "a", value = "1" })
cookie:set({ key = "b", value = "2" })
cookie:set({ key = "a", value = "1" })
local headers = ngx.header["Set-Cookie"]
ngx.say(#headers, " ", headers[1], " ", headers[2])
--- response_body
2 a=1 b=2
--- no_error_log
[error]



=== TEST 12: a cookie needs a name and a value
--- lua
local cookie = require("resty.cookie"):new()
local ok, err = cookie:set({ key = "a" })
ngx.say(ok, " ", err)
ok, err = cookie:set({ value = "1" })
ngx.say(ok, " ", err)
--- response_body
nil missing cookie field "key" or "value"
nil missing cookie field "key" or "value"
--- no_error_log
[error]



=== TEST 13: the cookie of a backend stays beside the own one
--- config
location = /backend {
    add_header Set-Cookie "theirs=1; Path=/";
    return 200 "answer\n";
}
location = /proxied {
    proxy_pass http://127.0.0.1:$server_port/backend;
    header_filter_by_lua_block {
        assert(require("resty.cookie"):new():set({ key = "ours", value = "2", path = "/" }))
    }
}
--- request
GET /proxied
--- response_body
answer
--- raw_response_headers_like: Set-Cookie: theirs=1; Path=/\r\n(?:.*\r\n)*?Set-Cookie: ours=2; Path=/\r\n
--- no_error_log
[error]



=== TEST 14: SameSite is set, with one of its two values
--- lua
local cookie = require("resty.cookie"):new()
assert(cookie:set({ key = "a", value = "1", samesite = "Strict" }))
assert(cookie:set({ key = "b", value = "2", httponly = true, samesite = "Lax", extension = "Partitioned" }))
ngx.say("set")
--- response_body
set
--- raw_response_headers_like: Set-Cookie: a=1; SameSite=Strict\r\nSet-Cookie: b=2; HttpOnly; SameSite=Lax; Partitioned\r\n
--- no_error_log
[warn]
[error]



=== TEST 15: another value of SameSite is left out, and that is said
--- lua
assert(require("resty.cookie"):new():set({ key = "a", value = "1", path = "/", samesite = "Strict; Domain=example" }))
ngx.say("set")
--- response_body
set
--- raw_response_headers_like: Set-Cookie: a=1; Path=/\r\n
--- error_log
SameSite value must be 'Strict' or 'Lax'
--- no_error_log
[error]



=== TEST 16: the texts of cookies are read and made without a request of one's own
--- lua
local cookie = require "resty.cookie"
ngx.say(cookie.get_cookie_table("a=1; b=2").b, " ", cookie.bake({ key = "a", value = "1", samesite = "Lax" }))
--- response_body
2 a=1; SameSite=Lax
--- no_error_log
[error]
