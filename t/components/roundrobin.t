# resty.roundrobin: weighted round robin.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

workers(1);

run_tests();

__DATA__

=== TEST 1: equal nodes take turns
--- lua
local rr = require("resty.roundrobin"):new({ a = 1, b = 1, c = 1 })
local first = { rr:find(), rr:find(), rr:find() }
for i = 1, 30 do
    assert(rr:find() == first[(i - 1) % 3 + 1])
end
table.sort(first)
ngx.say(table.concat(first))
--- response_body
abc
--- no_error_log
[error]



=== TEST 2: each cycle gives every node its weight exactly
--- lua
local weights = { a = 5, b = 3, c = 1 }
local rr = require("resty.roundrobin"):new(weights)
for cycle = 1, 100 do
    local count = { a = 0, b = 0, c = 0 }
    for i = 1, 9 do
        local id = rr:find()
        count[id] = count[id] + 1
    end
    for id, weight in pairs(weights) do
        assert(count[id] == weight, cycle .. ": " .. id .. " " .. count[id])
    end
end
ngx.say("exact")
--- response_body
exact
--- no_error_log
[error]



=== TEST 3: weights are divided by what they have in common
--- lua
local rr = require("resty.roundrobin"):new({ a = 600, b = 300, c = 100 })
local count = { a = 0, b = 0, c = 0 }
for i = 1, 10 do
    local id = rr:find()
    count[id] = count[id] + 1
end
ngx.say(count.a, " ", count.b, " ", count.c)
ngx.say(rr.gcd)
--- response_body
6 3 1
100
--- no_error_log
[error]



=== TEST 4: over many picks the shares are the weights
--- lua
local rr = require("resty.roundrobin"):new({ a = 7, b = 2, c = 1 })
local count = { a = 0, b = 0, c = 0 }
for i = 1, 100000 do
    local id = rr:find()
    count[id] = count[id] + 1
end
ngx.say(count.a, " ", count.b, " ", count.c)
--- response_body
70000 20000 10000
--- no_error_log
[error]



=== TEST 5: the only node is always picked
--- lua
local rr = require("resty.roundrobin"):new({ only = 5 })
for i = 1, 20 do
    assert(rr:find() == "only")
end
ngx.say("only")
--- response_body
only
--- no_error_log
[error]



=== TEST 6: a node of weight 0 is never picked
--- lua
local rr = require("resty.roundrobin"):new({ a = 0, b = 2, c = 1, d = 0 })
local count = {}
for i = 1, 300 do
    local id = rr:find()
    count[id] = (count[id] or 0) + 1
end
ngx.say(count.a, " ", count.b, " ", count.c, " ", count.d)
--- response_body
nil 200 100 nil
--- no_error_log
[error]



=== TEST 7: weights may be texts
--- lua
local rr = require("resty.roundrobin"):new({ a = "0", b = "3", c = "1" })
local count = { a = 0, b = 0, c = 0 }
for i = 1, 40 do
    local id = rr:find()
    count[id] = count[id] + 1
end
ngx.say(count.a, " ", count.b, " ", count.c)
--- response_body
0 30 10
--- no_error_log
[error]



=== TEST 8: no nodes at all are refused with an error
--- lua
local roundrobin = require "resty.roundrobin"
local ok, err = pcall(roundrobin.new, roundrobin, {})
ngx.say(ok, " ", err:find("empty nodes", 1, true) ~= nil)
local rr = roundrobin:new({ a = 1 })
ok, err = pcall(rr.reinit, rr, {})
ngx.say(ok, " ", err:find("empty nodes", 1, true) ~= nil)
--- response_body
false true
false true
--- no_error_log
[error]



=== TEST 9: not every picker begins with the same node
--- lua
local roundrobin = require "resty.roundrobin"
local firsts, count = {}, 0
for i = 1, 200 do
    local id = roundrobin:new({ a = 1, b = 1, c = 1, d = 1 }):find()
    if not firsts[id] then
        firsts[id] = true
        count = count + 1
    end
end
ngx.say(count)
--- response_body
4
--- no_error_log
[error]



=== TEST 10: changed weights are in force
--- lua
local rr = require("resty.roundrobin"):new({ a = 1, b = 1 })
local function shares(picks)
    local count = {}
    for i = 1, picks do
        local id = rr:find()
        count[id] = (count[id] or 0) + 1
    end
    local texts = {}
    for id, number in pairs(count) do
        -- In hundreds: a change may come in the midst of a cycle.
        texts[#texts + 1] = id .. math.floor(number / 100 + 0.5)
    end
    table.sort(texts)
    ngx.say(table.concat(texts, " "))
end
shares(1000)
rr:incr("a")
shares(3000)
rr:incr("a", 2)
shares(5000)
rr:decr("a")
shares(4000)
rr:decr("a", 2)
shares(2000)
rr:set("b", 4)
shares(5000)
rr:set("c", 5)
shares(10000)
rr:incr("d", 10)
shares(20000)
rr:delete("b")
shares(16000)
rr:reinit({ x = 1, y = 3 })
shares(4000)
--- response_body
a5 b5
a20 b10
a40 b10
a30 b10
a10 b10
a10 b40
a10 b40 c50
a10 b40 c50 d100
a10 c50 d100
x10 y30
--- no_error_log
[error]



=== TEST 11: a node whose weight is used up is not picked any more
--- lua
local rr = require("resty.roundrobin"):new({ a = 2, b = 1 })
rr:decr("a", 2)
for i = 1, 20 do
    assert(rr:find() == "b")
end
ngx.say("b")
--- response_body
b
--- no_error_log
[error]



=== TEST 12: the table of nodes is copied
--- lua
local nodes = { a = 1, b = 1 }
local rr = require("resty.roundrobin"):new(nodes)
rr:incr("a")
rr:delete("b")
ngx.say(nodes.a, " ", nodes.b)
nodes.a = nil
ngx.say(rr:find())
--- response_body
1 1
a
--- no_error_log
[error]



=== TEST 13: peers are picked in balancer_by_lua
--- http_config
    upstream picked {
        server 0.0.0.1;
        balancer_by_lua_block {
            assert(require("ngx.balancer").set_current_peer(require("elsewhere").own.rr:find(), ngx.var.server_port))
        }
    }
--- config
    location = /who {
        echo $server_addr;
    }
    location = /picked {
        proxy_pass http://picked/who;
    }
--- worker
own.rr = require("resty.roundrobin"):new({ ["127.0.0.1"] = 3, ["127.0.0.2"] = 1 })
--- lua
local count = {}
for i = 1, 8 do
    local who = ngx.location.capture("/picked").body:match("%S+")
    count[who] = (count[who] or 0) + 1
end
ngx.say(count["127.0.0.1"], " ", count["127.0.0.2"])
--- response_body
6 2
--- no_error_log
[error]
