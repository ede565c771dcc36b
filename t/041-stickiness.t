# Clients that come back to the same backend: by address, cookie or header.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

each_block(rules => '[{"rule": "r", "upstream": "sticky", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]');

run_tests();

__DATA__

=== TEST 1: sip-hash sends one client's address to one backend
--- options
trusted_proxies = "127.0.0.1",
--- groups
[{"name": "sticky", "session_affinity_policy": "sip-hash", "backends": ["one", "two", "three"]}]
--- lua
for client = 1, 20 do
    local headers = { ["X-Real-IP"] = "10.0.0." .. client }
    local first = testing.who("/", { headers = headers })
    for _ = 1, 3 do
        assert(testing.who("/", { headers = headers }) == first, "client " .. client .. " was sent elsewhere")
    end
end
ngx.say("each to its own")
--- response_body
each to its own
--- no_error_log
[error]



=== TEST 2: sip-hash spreads many clients over all backends
--- options
trusted_proxies = "127.0.0.1",
--- groups
[{"name": "sticky", "session_affinity_policy": "sip-hash", "backends": ["one", "two", "three"]}]
--- lua
local got = { one = 0, two = 0, three = 0 }
for client = 1, 150 do
    local who = testing.who("/", { headers = { ["X-Forwarded-For"] = "10.0." .. client % 7 .. "." .. client } })
    got[who] = got[who] + 1
end
for name, count in pairs(got) do
    assert(count > 20, name .. " got only " .. count)
end
ngx.say("spread")
--- response_body
spread
--- no_error_log
[error]



=== TEST 3: with sip-hash most clients stay where they are when a backend joins
--- options
trusted_proxies = "127.0.0.1",
--- groups
[{"name": "sticky", "session_affinity_policy": "sip-hash", "backends": ["one", "two"]}]
--- rules_2
[{"rule": "r", "upstream": "sticky", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups_2
[{"name": "sticky", "session_affinity_policy": "sip-hash", "backends": ["one", "two", "three"]}]
--- lua
local function ask(client)
    return testing.who("/", { headers = { ["X-Real-IP"] = "10.0.0." .. client } })
end
local before, moved = {}, 0
for client = 1, 100 do
    before[client] = ask(client)
end
testing.use(2)
for client = 1, 100 do
    local now = ask(client)
    if now ~= before[client] then
        assert(now == "three", "a client moved between the two that were there before")
        moved = moved + 1
    end
end
ngx.say(moved > 10 and moved < 60 and "about a third moved" or moved)
--- response_body
about a third moved
--- no_error_log
[error]



=== TEST 4: a client without the cookie is given one that leads back to its backend
--- groups
[{"name": "sticky", "session_affinity_policy": "cookie", "session_affinity_attribute": "lane", "backends": ["one", "two", "three"]}]
--- lua
for _ = 1, 10 do
    local answer = testing.request("/")
    local cookie = answer.headers["set-cookie"]:match("^(lane=%w+); Path=/; HttpOnly$")
    assert(cookie, answer.headers["set-cookie"])
    for _ = 1, 3 do
        local again = testing.request("/", { headers = { Cookie = "a=b; " .. cookie } })
        assert(again.headers["x-backend"] == answer.headers["x-backend"], "sent elsewhere")
        assert(not again.headers["set-cookie"], "given another cookie")
    end
end
ngx.say("sticky")
--- response_body
sticky
--- no_error_log
[error]



=== TEST 5: the cookie is called JSESSIONID unless the group says otherwise
--- groups
[{"name": "sticky", "session_affinity_policy": "cookie", "session_affinity_attribute": "", "backends": ["one", "two"]}]
--- request
GET /
--- response_headers_like
Set-Cookie: JSESSIONID=[0-9a-f]{32}; Path=/; HttpOnly
--- no_error_log
[error]



=== TEST 6: under TLS the cookie is Secure
--- groups
[{"name": "sticky", "session_affinity_policy": "cookie", "backends": ["one", "two"]}]
--- certificates
{"443": "default"}
--- lua
ngx.say((testing.request("/", { tls = { sni = "a.example" } }).headers["set-cookie"]:gsub("=%x+;", "=X;")))
--- response_body
JSESSIONID=X; Path=/; HttpOnly; Secure
--- no_error_log
[error]



=== TEST 7: the cookies of the backend stay beside it
--- groups
[{"name": "sticky", "session_affinity_policy": "cookie", "backends": ["one", "two"]}]
--- lua
local answer = testing.request("/?header=Set-Cookie:a=1&header=Set-Cookie:b=2")
ngx.say((answer.headers["set-cookie"]:gsub("=%x+; P", "=X; P")))
--- response_body
a=1 | b=2 | JSESSIONID=X; Path=/; HttpOnly
--- no_error_log
[error]



=== TEST 8: a cookie that the backend itself set is as good as ours
--- groups
[{"name": "sticky", "session_affinity_policy": "cookie", "backends": ["one", "two", "three"]}]
--- lua
local seen = {}
for session = 1, 20 do
    local headers = { Cookie = "JSESSIONID=session-" .. session }
    local who = testing.who("/", { headers = headers })
    assert(testing.who("/", { headers = headers }) == who, "sent elsewhere")
    seen[who] = true
end
ngx.say(seen.one and seen.two and seen.three and "spread and sticky" or "not spread")
--- response_body
spread and sticky
--- no_error_log
[error]



=== TEST 9: a header's value leads to one backend
--- groups
[{"name": "sticky", "session_affinity_policy": "header", "session_affinity_attribute": "X-Tenant", "backends": ["one", "two", "three"]}]
--- lua
local seen = {}
for tenant = 1, 20 do
    local answer = testing.request("/", { headers = { ["X-Tenant"] = "tenant-" .. tenant } })
    local who = answer.headers["x-backend"]
    assert(not answer.headers["set-cookie"], "a cookie, though the group sticks by a header")
    assert(testing.who("/", { headers = { ["x-tenant"] = "tenant-" .. tenant } }) == who, "sent elsewhere")
    seen[who] = true
end
ngx.say(seen.one and seen.two and seen.three and "spread and sticky" or "not spread")
--- response_body
spread and sticky
--- no_error_log
[error]



=== TEST 10: without the header clients are served in turns
--- groups
[{"name": "sticky", "session_affinity_policy": "header", "session_affinity_attribute": "X-Tenant", "backends": ["one", "two"]}]
--- lua
ngx.say(testing.tally(10))
--- response_body
one 5, two 5
--- no_error_log
[error]



=== TEST 11: the client is told apart by the cookie it sent, not by the one that the rule sets
--- rules
[{"rule": "r", "upstream": "sticky", "config": {"rewrite_request": {"headers": {"Cookie": "lane=same"}}}, "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- groups
[{"name": "sticky", "session_affinity_policy": "cookie", "session_affinity_attribute": "lane", "backends": ["one", "two", "three"]}]
--- lua
local seen, count = {}, 0
for client = 1, 20 do
    local who = testing.who("/", { headers = { Cookie = "lane=" .. client } })
    count = count + (seen[who] and 0 or 1)
    seen[who] = true
end
ngx.say(count, " backends")
--- response_body
3 backends
--- no_error_log
[error]



=== TEST 12: a retry goes elsewhere and leaves the client's cookie as it is
--- groups
[{"name": "sticky", "session_affinity_policy": "cookie", "backends": ["dead*100", "one"]}]
--- lua
for client = 1, 10 do
    local answer = testing.request("/", { headers = { Cookie = "JSESSIONID=" .. client } })
    assert(answer.headers["x-backend"] == "one", answer.status)
    assert(not answer.headers["set-cookie"])
end
ngx.say("served by the other")
--- response_body
served by the other
--- error_log
connect() failed
--- no_error_log
[alert]
