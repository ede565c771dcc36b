# Behaviour of the resty.ngxvar, resty.chash and resty.roundrobin under lua/embedded beyond the interfaces that they offer.

use FindBin;
use lib $FindBin::Bin;
use Component;

plan(skip_all => 'not the libraries under lua/embedded') if !embedded();
plan('no_plan');

workers(1);

run_tests();

__DATA__

=== TEST 1: names are read without regard to case, as ngx.var reads them
--- lua
local fetch = require("resty.ngxvar").fetch
ngx.say(fetch("HOST"), " ", fetch("Http_X_Any"), " ", fetch("host"))
--- more_headers
X-Any: x
--- response_body
localhost x localhost
--- no_error_log
[error]



=== TEST 2: groups of a pattern are read by number
--- config
location ~ ^/item/(\w+)$ {
    content_by_lua_block {
        ngx.say(require("resty.ngxvar").fetch(1))
    }
}
--- request
GET /item/seven
--- response_body
seven
--- no_error_log
[error]



=== TEST 3: in a timer there is no request, and fetch throws what ngx.var throws
--- lua
local ngxvar = require "resty.ngxvar"
local results
ngxvar.fetch("uri")
ngx.timer.at(0, function()
    local _, expected = pcall(function() return ngx.var.uri end)
    local ok, err = pcall(ngxvar.fetch, "uri")
    results = { ngxvar.request() == nil, ok, (err:gsub("^.-:%d+: ", "")) == (expected:gsub("^.-:%d+: ", "")) }
end)
ngx.sleep(0.05)
ngx.say(tostring(results[1]), " ", tostring(results[2]), " ", tostring(results[3]))
--- response_body
true false true
--- no_error_log
[error]



=== TEST 4: as a worker starts there is no request either
--- worker
own.ok = pcall(require("resty.ngxvar").fetch, "uri")
own.request = tostring(require("resty.ngxvar").request())
--- lua
ngx.say(own.ok, " ", own.request)
--- response_body
false nil
--- no_error_log
[error]



=== TEST 5: more names than are kept are read all the same
--- lua
local fetch = require("resty.ngxvar").fetch
for i = 1, 3000 do
    assert(fetch("arg_n" .. i) == nil)
end
ngx.say(fetch("arg_a"), " ", fetch("uri"))
--- request
GET /t?a=1
--- response_body
1 /t
--- no_error_log
[error]



=== TEST 6: the upstream times of all tries are added up
--- http_config eval
my $port = $Test::Nginx::Util::ServerPort;
qq{
    upstream two_tries {
        server 0.0.0.1;
        balancer_by_lua_block {
            local balancer = require "ngx.balancer"
            if not ngx.ctx.tried then
                ngx.ctx.tried = true
                balancer.set_more_tries(1)
            end
            assert(balancer.set_current_peer("127.0.0.1", $port))
        }
    }
}
--- config
location = /broken {
    content_by_lua_block {
        ngx.sleep(0.05)
        ngx.exit(502)
    }
}
location = /tried {
    proxy_next_upstream http_502;
    proxy_pass http://two_tries/broken;
    log_by_lua_block {
        local time = require("resty.ngxvar").fetch("upstream_response_time")
        ngx.log(ngx.NOTICE, "time: ", type(time), " ", time >= 0.08, " ", ngx.var.upstream_response_time:find(",", 1, true) ~= nil)
    }
}
--- request
GET /tried
--- error_code: 502
--- error_log
time: number true true
--- no_error_log
[error]



=== TEST 7: a weight that is not a non-negative integer is refused, and the old ones stay in force
--- lua
for _, name in ipairs { "resty.chash", "resty.roundrobin" } do
    local class = require(name)
    local picker = class:new({ a = 1 })
    for _, weight in ipairs { -1, 1.5, "x", 0 / 0, 1 / 0, {} } do
        local ok, err = pcall(class.new, class, { a = weight })
        assert(not ok and err:find("the weight of node 'a' must be a non-negative integer", 1, true), name)
        assert(not pcall(picker.reinit, picker, { a = weight }))
        assert(not pcall(picker.set, picker, "a", weight))
        assert(not pcall(picker.incr, picker, "a", weight))
        assert(not pcall(picker.decr, picker, "a", weight))
    end
    local ok, err = pcall(class.new, class)
    ngx.say(ok, " ", err)
    ngx.say((picker:find("key")))
end
--- response_body
false nodes must be a table of id -> weight, not nil
a
false nodes must be a table of id -> weight, not nil
a
--- no_error_log
[error]



=== TEST 8: an error names the line that called
--- lua
local chash = require "resty.chash"
local ring = chash:new({ a = 1 })
local function where(f)
    local _, err = pcall(f)
    ngx.say((err:gsub("^(content_by_lua).-:%d+: .*$", "%1")))
end
where(function() local _ = chash:new({ a = -1 }) end)
where(function() ring:set("a", -1) end)
where(function() ring:incr("a", -1) end)
where(function() ring:reinit(7) end)
where(function() ring:set("a", 1e9) end)
--- response_body
content_by_lua
content_by_lua
content_by_lua
content_by_lua
content_by_lua
--- no_error_log
[error]



=== TEST 9: without a node nothing is found
--- lua
local ring = require("resty.chash"):new({ a = 0 })
ngx.say(ring:find("key"), " ", ring:next(0))
ring:set("b", 1)
ngx.say((ring:find("key")))
ring:delete("b")
ngx.say((ring:find("key")))
local rr = require("resty.roundrobin"):new({ a = 0 })
ngx.say(rr:find())
rr:set("a", 1)
ngx.say(rr:find())
rr:delete("a")
ngx.say(rr:find())
--- response_body
nil nil
b
nil
nil
a
nil
--- no_error_log
[error]



=== TEST 10: an index that a change has left behind leads back onto the ring
--- lua
local ring = require("resty.chash"):new({ a = 10, b = 10 })
local index = 3000
ring:reinit({ c = 1 })
ngx.say((ring:next(index)), " ", select(2, ring:next(index)))
--- response_body
c 0
--- no_error_log
[error]



=== TEST 11: weights that would take more memory than a ring may have are refused
--- lua
local chash = require "resty.chash"
local ring = chash:new({ a = 1 })
local ok, err = pcall(ring.set, ring, "b", 1000000)
ngx.say(ok, " ", err:match("the weights add up to .*"))
ngx.say(ring.npoints, " ", (ring:find("key")))
--- response_body
false the weights add up to 160000160 points, the limit is 16777216
160 a
--- no_error_log
[error]



=== TEST 12: a heavy node takes its turns spread over the cycle
--- lua
local rr = require("resty.roundrobin"):new({ heavy = 10, light = 5, lighter = 5 })
local run, longest = 0, 0
for i = 1, 200 do
    if rr:find() == "heavy" then
        run = run + 1
        longest = math.max(longest, run)
    else
        run = 0
    end
end
ngx.say(longest <= 2 or longest)
--- response_body
true
--- no_error_log
[error]
