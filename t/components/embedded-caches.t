# Behaviour of the libraries under lua/embedded beyond the interface that they offer: resty.lock, resty.mlcache, resty.mlcache.ipc.

use FindBin;
use lib $FindBin::Bin;
use Component;

plan(skip_all => 'not the libraries under lua/embedded') if !embedded();
plan('no_plan');

run_tests();

__DATA__

=== TEST 1: a holder that overran its time does not release the lock of its successor
--- lua
local new = require("resty.lock").new
local slow, next_one = new(nil, "locks", { exptime = 0.03 }), new(nil, "locks")
slow:lock("a")
ngx.sleep(0.05)
ngx.say(next_one:lock("a"))
ngx.say(slow:unlock())
local elapsed, err = new(nil, "locks", { timeout = 0 }):lock("a")
ngx.say(elapsed, " ", err)
--- response_body
0
1
nil timeout
--- no_error_log
[error]



=== TEST 2: a holder that overran its time and is collected does not release it either
--- lua
local new = require("resty.lock").new
do
    local slow = new(nil, "locks", { exptime = 0.03 })
    slow:lock("a")
end
ngx.sleep(0.05)
local next_one = new(nil, "locks")
next_one:lock("a")
collectgarbage()
collectgarbage()
local elapsed, err = new(nil, "locks", { timeout = 0 }):lock("a")
ngx.say(elapsed, " ", err)
ngx.say(next_one:unlock())
--- response_body
nil timeout
1
--- no_error_log
[error]



=== TEST 3: a lock that ended cannot be given a new life
--- lua
local new = require("resty.lock").new
local slow, next_one = new(nil, "locks", { exptime = 0.03 }), new(nil, "locks")
slow:lock("a")
ngx.sleep(0.05)
local ok, err = slow:expire(10)
ngx.say(ok, " ", err)
next_one:lock("a")
ok, err = slow:expire(10)
ngx.say(ok, " ", err)
--- response_body
nil not found
nil not found
--- no_error_log
[error]



=== TEST 4: numbers come back from the second level as they were, to the last digit
--- lua
local lru = require("resty.lrucache").new(100)
local cache = assert(require("resty.mlcache").new("one", "cache", { lru = lru }))
local wrong = 0
for i, number in ipairs({ 1 / 3, 0.1 + 0.2, 2 ^ 53 - 1, -2 ^ 53, 5e-324, math.huge, -math.huge, 1.7976931348623157e308 }) do
    cache:get("key " .. i, nil, function() return number end)
    lru:delete("key " .. i)
    if cache:get("key " .. i) ~= number then wrong = wrong + 1 end
end
cache:get("none", nil, function() return 0 / 0 end)
lru:delete("none")
local none = cache:get("none")
ngx.say("wrong: ", wrong, ", not a number: ", none ~= none)
--- response_body
wrong: 0, not a number: true
--- no_error_log
[error]



=== TEST 5: when the serializer fails nothing is stored, in neither level
--- lua
local cache = assert(require("resty.mlcache").new("one", "cache"))
local function fail() return nil, "cannot" end
cache:get("key", { l1_serializer = fail }, function() return "value" end)
ngx.say((select(3, cache:get("key"))), " ", #ngx.shared.cache:get_keys())
--- response_body
-1 0
--- no_error_log
[error]



=== TEST 6: a serializer that changes the table it is given does not change the second level
--- lua
local lru = require("resty.lrucache").new(100)
local cache = assert(require("resty.mlcache").new("one", "cache", {
    lru = lru,
    l1_serializer = function(row) row.run = function() return row.text end return row end,
}))
ngx.say(cache:get("key", nil, function() return { text = "hello" } end).run())
lru:delete("key")
local row, _, level = cache:get("key")
ngx.say(row.run(), " ", level)
--- response_body
hello
hello 2
--- no_error_log
[error]



=== TEST 7: a resurrect_ttl of 0 is none, as it would keep a stale value for ever
--- lua
local cache = assert(require("resty.mlcache").new("one", "cache", { ttl = 0.03, resurrect_ttl = 0 }))
cache:get("key", nil, function() return "old" end)
ngx.sleep(0.05)
local value, err, level = cache:get("key", nil, function() return nil, "no luck" end)
ngx.say(value, " ", err, " ", level)
--- response_body
nil no luck nil
--- no_error_log
[error]



=== TEST 8: a time to live below the dictionary's resolution is short, not endless
--- lua
local lru = require("resty.lrucache").new(100)
local cache = assert(require("resty.mlcache").new("one", "cache", { lru = lru }))
cache:get("key", nil, function() return "value", nil, 0.0001 end)
ngx.sleep(0.02)
ngx.say((select(3, cache:get("key"))))
--- response_body
-1
--- no_error_log
[error]



=== TEST 9: set() throws a value of a type that cannot be cached back at the caller
--- lua
local cache = assert(require("resty.mlcache").new("one", "cache", { ipc_shm = "events" }))
ngx.say((select(2, pcall(cache.set, cache, "key", nil, print))))
--- response_body
cannot cache value of type function
--- no_error_log
[error]



=== TEST 10: after a value that cannot be cached the lock is free at once
--- lua
collectgarbage("stop")
local cache = assert(require("resty.mlcache").new("one", "cache", { resty_lock_opts = { timeout = 0 } }))
ngx.say((pcall(cache.get, cache, "key", nil, function() return print end)))
ngx.say((cache:get("key", nil, function() return "value" end)))
collectgarbage("restart")
--- response_body
false
value
--- no_error_log
[error]



=== TEST 11: what the second level holds that it cannot read is an error, not an exception
--- lua
local cache = assert(require("resty.mlcache").new("one", "cache"))
ngx.shared.cache:set("onekey", "somebody else's")
ngx.shared.cache:set("onenumber", 5)
for _, key in ipairs({ "key", "number" }) do
    local value, err, level = cache:get(key, nil, function() return "not called" end)
    ngx.say(value, " ", err, " ", level)
end
--- response_body
nil could not deserialize value after lua_shared_dict retrieval: could not decode value: not written by this library nil
nil could not deserialize value after lua_shared_dict retrieval: could not decode value: not written by this library nil
--- no_error_log
[error]



=== TEST 12: an event that comes late runs with the next poll
--- lua
local channel = assert(require("resty.mlcache.ipc").new("events", true))
channel:subscribe("news", function(data) ngx.say(data) end)
channel:broadcast("news", "first")
channel:broadcast("news", "second")
local text = ngx.shared.events:get(1)
ngx.shared.events:delete(1)
ngx.say(tostring((channel:poll(0.02))))
ngx.shared.events:set(1, text)
ngx.say(channel:poll())
--- response_body
nil
first
second
true
--- no_error_log
[error]



=== TEST 13: an event whose writer was killed is given up after half a second, and those after it run
--- lua
local channel = assert(require("resty.mlcache.ipc").new("events", true))
channel:subscribe("news", function(data) ngx.say(data) end)
channel:broadcast("news", "lost")
channel:broadcast("news", "kept")
ngx.shared.events:delete(1)
ngx.update_time()
local start = ngx.now()
local polls, done = 0, nil
repeat
    polls = polls + 1
    done = channel:poll(0.2)
until done or polls == 20
ngx.say(done, " ", ngx.now() - start > 0.5, " ", ngx.now() - start < 2)
--- response_body
kept
true true true
--- error_log eval
qr/\[warn\] .*events at indexes '1' to '1' are lost/
--- no_error_log
[error]



=== TEST 14: a worker that lost events drops its first level rather than serve what may be old
--- worker
own.lru = require("resty.lrucache").new(100)
own.cache = assert(require("resty.mlcache").new("one", "cache", { lru = own.lru, ipc_shm = "few_events" }))
function own.value() return (own.cache:get("key")) end
--- lua
own.cache:set("key", nil, "old")
ngx.say(elsewhere('assert(own.cache:update()) return own.value()'))
own.cache:set("key", nil, "new")
for i = 1, 100 do
    own.cache:delete(i .. ("."):rep(1000))
end
ngx.say(elsewhere('return own.value()'))
ngx.say(elsewhere('assert(own.cache:update()) return own.value()'))
--- response_body
old
old
new
--- error_log eval
qr/\[warn\] .*events at indexes '\d+' to '\d+' are lost/
--- no_error_log
[error]
