# resty.mlcache: set(), delete(), purge() and update(), and what they send.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

each_block(before => 'local caching = require "caching"');

run_tests();

__DATA__

=== TEST 1: without a channel nothing can be changed
--- lua
local cache = caching.new()
for _, method in ipairs({ "set", "delete", "purge", "update" }) do
    ngx.say((select(2, pcall(cache[method], cache, "key"))))
end
--- response_body
no ipc to propagate update, specify opts.ipc_shm or opts.ipc
no ipc to propagate deletion, specify opts.ipc_shm or opts.ipc
no ipc to propagate purge, specify opts.ipc_shm or opts.ipc
no polling configured, specify opts.ipc_shm or opts.ipc.poll
--- no_error_log
[error]



=== TEST 2: keys and options are checked
--- lua
local channel, sent = caching.channel()
local cache = caching.new({ ipc = channel })
ngx.say((select(2, pcall(cache.set, cache, 1, nil, 1))))
ngx.say((select(2, pcall(cache.delete, cache, 1))))
ngx.say((select(2, pcall(cache.set, cache, "key", "options", 1))))
ngx.say((select(2, pcall(cache.set, cache, "key", { ttl = -1 }, 1))))
ngx.say((select(2, pcall(cache.set, cache, "key", { l1_serializer = 1 }, 1))))
ngx.say(#sent)
--- response_body
key must be a string
key must be a string
opts must be a table
opts.ttl must be >= 0
opts.l1_serializer must be a function
0
--- no_error_log
[error]



=== TEST 3: each change goes over the channel of its kind, with the key
--- lua
local channel, sent = caching.channel()
local cache = caching.new({ ipc = channel })
ngx.say(cache:set("key", nil, "value"))
ngx.say(cache:delete("key"))
ngx.say(cache:purge())
ngx.say(table.concat(sent, "\n"))
--- response_body
true
true
true
2: mlcache:invalidations:one key
2: mlcache:invalidations:one key
2: mlcache:purge:one 
--- no_error_log
[error]



=== TEST 4: an error of the channel is returned with its reason
--- lua
local cache = caching.new({
    ipc = {
        register_listeners = function() end,
        broadcast = function() return nil, "no wire" end,
        poll = function() return nil, "no wire" end,
    },
})
for _, method in ipairs({ "set", "delete", "purge", "update" }) do
    local arguments = method == "purge" and {} or { "key" }
    local ok, err = cache[method](cache, unpack(arguments))
    ngx.say(ok, " ", err)
end
--- response_body
nil could not broadcast update: no wire
nil could not broadcast deletion: no wire
nil could not broadcast purge: no wire
nil could not poll ipc events: no wire
--- no_error_log
[error]



=== TEST 5: set() puts the value into both levels
--- lua
local cache, lru = caching.new({ ipc = caching.channel() })
assert(cache:set("key", nil, "value"))
ngx.say((select(3, cache:get("key"))))
lru:delete("key")
local value, _, level = cache:get("key", nil, function() return "not called" end)
ngx.say(value, " from ", level)
--- response_body
1
value from 2
--- no_error_log
[error]



=== TEST 6: set() replaces a value of any type
--- lua
local cache, lru = caching.new({ ipc = caching.channel() })
for _, value in ipairs({ "text", 5, false }) do
    assert(cache:set("key", nil, value))
    local first = cache:get("key")
    lru:delete("key")
    ngx.say(tostring(first), " ", tostring((cache:get("key"))))
end
--- response_body
text text
5 5
false false
--- no_error_log
[error]



=== TEST 7: set() takes ttl for values and neg_ttl for nil
--- lua
local cache = caching.new({ ipc = caching.channel(), ttl = 10, neg_ttl = 20 })
cache:set("value", nil, 1)
cache:set("nothing", nil, nil)
cache:set("value of the call", { ttl = 30, neg_ttl = 40 }, 1)
cache:set("nothing of the call", { ttl = 30, neg_ttl = 40 }, nil)
for _, key in ipairs({ "value", "nothing", "value of the call", "nothing of the call" }) do
    ngx.say(key, ": ", math.ceil((cache:peek(key))))
end
--- response_body
value: 10
nothing: 20
value of the call: 30
nothing of the call: 40
--- no_error_log
[error]



=== TEST 8: a nil replaces a value and a value a nil, with a dictionary for misses
--- lua
local cache, lru = caching.new({ ipc = caching.channel(), shm_miss = "misses" })
local function look()
    lru:delete("key")
    local value, _, level = cache:get("key")
    ngx.say(value, " from ", level, ", ", #ngx.shared.cache:get_keys(), " ", #ngx.shared.misses:get_keys())
end
cache:set("key", nil, "value")
look()
cache:set("key", nil, nil)
look()
cache:set("key", nil, "again")
look()
--- response_body
value from 2, 1 0
nil from 2, 0 1
again from 2, 1 0
--- no_error_log
[error]



=== TEST 9: set() runs the serializer, the one of the call before that of the instance
--- lua
local cache = caching.new({ ipc = caching.channel(), l1_serializer = function(value) return "instance " .. tostring(value) end })
cache:set("a", nil, false)
cache:set("b", { l1_serializer = function(value) return "call " .. value end }, 1)
cache:set("c", nil, nil)
ngx.say((cache:get("a")), ", ", (cache:get("b")), ", ", (cache:get("c")))
ngx.say((select(3, cache:peek("a"))), ", ", (select(3, cache:peek("b"))))
--- response_body
instance false, call 1, nil
false, 1
--- no_error_log
[error]



=== TEST 10: a value that does not fit is an error of set(), and changes no first level
--- lua
local channel, sent = caching.channel()
local cache, lru = caching.new({ ipc = channel, shm_set_tries = 1 })
fill("cache", 1)
local ok, err = cache:set("key", nil, ("v"):rep(2 ^ 12))
ngx.say(ok, " ", err)
ngx.say((lru:get("key")), " ", #sent)
--- response_body
nil could not write to lua_shared_dict 'cache': no memory
nil 0
--- no_error_log
[error]
[warn]



=== TEST 11: set() tries again as often as the call says
--- lua
local cache, lru = caching.new({ ipc = caching.channel(), shm_set_tries = 1 })
fill("cache", 4)
ngx.say(cache:set("key", { shm_set_tries = 5 }, ("v"):rep(2 ^ 12)))
lru:delete("key")
ngx.say((select(3, cache:get("key"))))
--- response_body
true
2
--- no_error_log
[error]



=== TEST 12: delete() removes from both levels, wherever the value lies
--- lua
local cache = caching.new({ ipc = caching.channel(), shm_miss = "misses" })
for _, value in ipairs({ "text", false }) do
    cache:get("key", nil, function() return value or nil end)
    ngx.say(cache:delete("key"))
    ngx.say((select(3, cache:get("key"))), " ", #ngx.shared.cache:get_keys(), " ", #ngx.shared.misses:get_keys())
end
ngx.say(cache:delete("never there"))
--- response_body
true
-1 0 0
true
-1 0 0
true
--- no_error_log
[error]



=== TEST 13: purge() empties both levels and both dictionaries, and keeps the first level itself
--- lua
local cache, lru = caching.new({ ipc = caching.channel(), shm_miss = "misses" })
for i = 1, 20 do
    cache:get("value " .. i, nil, function() return i end)
    cache:get("nothing " .. i, nil, function() return nil end)
end
ngx.say(cache:purge())
local left = 0
for i = 1, 20 do
    for _, kind in ipairs({ "value ", "nothing " }) do
        if lru:get(kind .. i) ~= nil then left = left + 1 end
        if select(3, cache:get(kind .. i)) ~= -1 then left = left + 1 end
    end
end
ngx.say("left: ", left)
--- response_body
true
left: 0
--- no_error_log
[error]



=== TEST 14: purge(true) gives the memory back, too
--- lua
local cache = caching.new({ ipc = caching.channel() })
local dict = ngx.shared.cache
local free = dict:free_space()
for i = 1, 100 do
    cache:get("key " .. i, nil, function() return ("v"):rep(3000) end)
end
local full = dict:free_space()
cache:purge()
cache:purge(true)
ngx.say(full < free, " ", dict:free_space() == free)
--- response_body
true true
--- no_error_log
[error]



=== TEST 15: update() hands its timeout to the channel, and nothing else
--- lua
local cache = caching.new({
    ipc = {
        register_listeners = function() end,
        broadcast = function() end,
        poll = function(...) ngx.say(select("#", ...), " ", ...) return true end,
    },
})
ngx.say(cache:update(1.5, "more"))
--- response_body
1 1.5
true
--- no_error_log
[error]



=== TEST 16: what comes over the channel changes the first level alone
--- lua
local handlers = {}
local cache = caching.new({
    ipc = {
        register_listeners = function(events)
            for name, event in pairs(events) do handlers[name] = event.handler end
        end,
        broadcast = function() return true end,
    },
})
local function levels()
    ngx.say((select(3, cache:get("a"))), " ", (select(3, cache:get("b"))))
end
cache:set("a", nil, 1)
cache:set("b", nil, 2)
handlers.invalidation("a")
levels()
handlers.purge("")
levels()
--- response_body
2 1
2 2
--- no_error_log
[error]



=== TEST 17: instances of one name share their levels, those of two names share nothing
--- lua
local mlcache = require "resty.mlcache"
local function new(name) return assert(mlcache.new(name, "cache", { ipc_shm = "events" })) end
local a, again, b = new("a"), new("a"), new("b")
a:get("key", nil, function() return "of a" end)
b:get("key", nil, function() return "of b" end)
ngx.say((again:get("key")), " ", (select(3, again:get("key"))), ", ", (b:get("key")))
again:delete("key")
ngx.say((select(3, a:get("key"))), ", ", (b:get("key")))
ngx.say((a:peek("key")), ", ", (select(3, b:peek("key"))))
--- response_body
of a 1, of b
-1, of b
nil, of b
--- no_error_log
[error]



=== TEST 18: the first level ends with the last instance of its name
--- lua
local mlcache = require "resty.mlcache"
local function fresh() return assert(mlcache.new("short", "cache")) end
local first, second = fresh(), fresh()
first:get("key", nil, function() return 1 end)
first = nil
collectgarbage() collectgarbage()
ngx.say((select(3, second:get("key"))), " ", first)
second = nil
collectgarbage() collectgarbage()
ngx.say((select(3, fresh():get("key"))), " ", second)
--- response_body
1 nil
2 nil
--- no_error_log
[error]
