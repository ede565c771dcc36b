# resty.chash: consistent hashing with weights.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';
use Test::Nginx::Util qw($ServerPort);

workers(1);

# The same three peers for nginx's own consistent hash and for balancer_by_lua; who answers says its address.
our $TwoBalancers = <<"_EOC_";
    upstream by_nginx {
        hash \$arg_key consistent;
        server 127.0.0.1:$ServerPort weight=3;
        server 127.0.0.2:$ServerPort weight=2;
        server 127.0.0.3:$ServerPort;
    }
    upstream by_lua {
        server 0.0.0.1;
        balancer_by_lua_block {
            local id = require("elsewhere").own.ring:find(ngx.var.arg_key)
            assert(require("ngx.balancer").set_current_peer(id:match("([^%z]+)%z(%d+)")))
        }
    }
_EOC_

our $TwoLocations = <<'_EOC_';
    location = /who {
        echo $server_addr;
    }
    location = /by_nginx {
        proxy_pass http://by_nginx/who;
    }
    location = /by_lua {
        proxy_pass http://by_lua/who;
    }
_EOC_

run_tests();

__DATA__

=== TEST 1: a key always finds the same node
--- lua
local chash = require "resty.chash"
local first, second = chash:new({ a = 1, b = 1, c = 1 }), chash:new({ c = 1, b = 1, a = 1 })
for i = 1, 1000 do
    local id = first:find("key " .. i)
    assert(id == "a" or id == "b" or id == "c")
    assert(first:find("key " .. i) == id)
    assert(second:find("key " .. i) == id)
end
ngx.say("same")
--- response_body
same
--- no_error_log
[error]



=== TEST 2: find tells the point, a number that next takes
--- lua
local ring = require("resty.chash"):new({ a = 1, b = 1 })
for i = 1, 100 do
    local id, index = ring:find("key " .. i)
    assert(type(index) == "number" and index % 1 == 0)
    local again, same_index = ring:find("key " .. i)
    assert(again == id and same_index == index)
end
ngx.say("numbers")
--- response_body
numbers
--- no_error_log
[error]



=== TEST 3: next goes round the ring point by point and comes to every node
--- lua
local ring = require("resty.chash"):new({ a = 1, b = 2 })
local id, first = ring:find("key")
local count, seen, index = 0, {}, first
repeat
    id, index = ring:next(index)
    seen[id] = (seen[id] or 0) + 1
    count = count + 1
until index == first
ngx.say(count, " ", seen.a, " ", seen.b)
ngx.say(id == ring:find("key"))
--- response_body
480 160 320
true
--- no_error_log
[error]



=== TEST 4: from each key next comes to another node soon
--- lua
local ring = require("resty.chash"):new({ a = 1, b = 1, c = 1, d = 1 })
local most = 0
for i = 1, 1000 do
    local id, index = ring:find("key " .. i)
    local other, steps = id, 0
    while other == id do
        other, index = ring:next(index)
        steps = steps + 1
    end
    most = math.max(most, steps)
end
ngx.say(most < 30 or most)
--- response_body
true
--- no_error_log
[error]



=== TEST 5: the only node is found for all keys, and is next to itself
--- lua
local ring = require("resty.chash"):new({ only = 3 })
local id, index = ring:find("a")
ngx.say(id, " ", (ring:find("b")), " ", (ring:next(index)))
--- response_body
only only only
--- no_error_log
[error]



=== TEST 6: keys are spread by weight
--- lua
local ring = require("resty.chash"):new({ a = 1, b = 2, c = 5 })
local count = { a = 0, b = 0, c = 0 }
for i = 1, 40000 do
    local id = ring:find("key " .. i)
    count[id] = count[id] + 1
end
for _, id in ipairs { "a", "b", "c" } do
    local share = count[id] / 5000 / ({ a = 1, b = 2, c = 5 })[id]
    ngx.say(id, " ", share > 0.8 and share < 1.2 or share)
end
--- response_body
a true
b true
c true
--- no_error_log
[error]



=== TEST 7: numbers are keys, too, and stand for their text
--- lua
local ring = require("resty.chash"):new({ a = 1, b = 1, c = 1 })
for i = 1, 1000 do
    assert(ring:find(i) == ring:find(tostring(i)))
end
ngx.say("same")
--- response_body
same
--- no_error_log
[error]



=== TEST 8: to take one of ten nodes away moves its keys only
--- lua
local nodes = {}
for i = 1, 10 do
    nodes["10.0.0." .. i .. ":80"] = 1
end
local ring = require("resty.chash"):new(nodes)
local before = {}
for i = 1, 20000 do
    before[i] = ring:find("key " .. i)
end
ring:delete("10.0.0.4:80")
local moved, others = 0, 0
for i = 1, 20000 do
    local id = ring:find("key " .. i)
    if before[i] == "10.0.0.4:80" then
        moved = moved + 1
        assert(id ~= "10.0.0.4:80")
    elseif id ~= before[i] then
        others = others + 1
    end
end
ngx.say(moved > 1400 and moved < 2600 or moved)
ngx.say(others)
--- response_body
true
0
--- no_error_log
[error]



=== TEST 9: a further node takes keys from the others, which exchange none
--- lua
local ring = require("resty.chash"):new({ a = 2, b = 2, c = 2 })
local before = {}
for i = 1, 20000 do
    before[i] = ring:find("key " .. i)
end
ring:set("d", 2)
local moved, exchanged = 0, 0
for i = 1, 20000 do
    local id = ring:find("key " .. i)
    if id == "d" then
        moved = moved + 1
    elseif id ~= before[i] then
        exchanged = exchanged + 1
    end
end
ngx.say(moved > 4000 and moved < 6000 or moved)
ngx.say(exchanged)
--- response_body
true
0
--- no_error_log
[error]



=== TEST 10: a ring that was changed is that of the same nodes made anew
--- lua
local chash = require "resty.chash"
local function compare(ring, nodes, name)
    local fresh = chash:new(nodes)
    for i = 1, 5000 do
        assert(ring:find("key " .. i) == fresh:find("key " .. i), name)
    end
    ngx.say(name)
end
local ring = chash:new({ a = 3, b = 2, c = 1 })
ring:incr("a")
compare(ring, { a = 4, b = 2, c = 1 }, "incr by one")
ring:incr("b", 3)
compare(ring, { a = 4, b = 5, c = 1 }, "incr by three")
ring:decr("a")
compare(ring, { a = 3, b = 5, c = 1 }, "decr by one")
ring:decr("b", 4)
compare(ring, { a = 3, b = 1, c = 1 }, "decr by four")
ring:set("c", 7)
compare(ring, { a = 3, b = 1, c = 7 }, "set to more")
ring:set("c", 2)
compare(ring, { a = 3, b = 1, c = 2 }, "set to less")
ring:delete("b")
compare(ring, { a = 3, c = 2 }, "delete")
ring:incr("e", 2)
compare(ring, { a = 3, c = 2, e = 2 }, "incr of a new node")
ring:set("f", 1)
compare(ring, { a = 3, c = 2, e = 2, f = 1 }, "set of a new node")
ring:decr("f")
compare(ring, { a = 3, c = 2, e = 2 }, "decr of the last weight")
ring:reinit({ x = 1, y = 2 })
compare(ring, { x = 1, y = 2 }, "reinit")
--- response_body
incr by one
incr by three
decr by one
decr by four
set to more
set to less
delete
incr of a new node
set of a new node
decr of the last weight
reinit
--- no_error_log
[error]



=== TEST 11: the table of nodes is copied
--- lua
local nodes = { a = 1, b = 1 }
local ring = require("resty.chash"):new(nodes)
ring:incr("a")
ring:delete("b")
ngx.say(nodes.a, " ", nodes.b)
nodes.a = nil
ngx.say((ring:find("key")))
--- response_body
1 1
a
--- no_error_log
[error]



=== TEST 12: each unit of weight has 160 points
--- lua
local ring = require("resty.chash"):new({ server1 = 10, server2 = 2, server3 = 1 })
ngx.say(ring.npoints)
--- response_body
2080
--- no_error_log
[error]



=== TEST 13: the ring is the one of nginx's own consistent hash
--- http_config eval: $::TwoBalancers
--- config eval: $::TwoLocations
--- worker eval
my $port = $Test::Nginx::Util::ServerPort;
qq{own.ring = require("resty.chash"):new({
    ["127.0.0.1\\000$port"] = 3, ["127.0.0.2\\000$port"] = 2, ["127.0.0.3\\000$port"] = 1,
})}
--- lua
local seen = {}
for i = 1, 200 do
    local args = { args = { key = "user " .. i } }
    local by_nginx = ngx.location.capture("/by_nginx", args).body
    local by_lua = ngx.location.capture("/by_lua", args).body
    assert(by_nginx == by_lua, by_nginx .. by_lua)
    seen[by_lua] = true
end
for i = 1, 3 do
    ngx.say(seen["127.0.0." .. i .. "\n"])
end
--- response_body
true
true
true
--- no_error_log
[error]



=== TEST 14: many nodes with great weights are ready in a moment
--- lua
local nodes = {}
for i = 1, 100 do
    nodes["10.0.0." .. i .. ":80"] = 20
end
ngx.update_time()
local start = ngx.now()
local ring = require("resty.chash"):new(nodes)
ngx.update_time()
local elapsed = ngx.now() - start
ngx.say(nodes[ring:find("key")])
ngx.say(elapsed < 1 or elapsed)
--- response_body
20
true
--- no_error_log
[error]
