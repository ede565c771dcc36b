# resty.mlcache: get() and peek() within one worker.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

run_tests();

__DATA__

=== TEST 1: a value comes from the callback, then from the first level, then from the second
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
local calls = 0
local function callback() calls = calls + 1 return "value" end
for _, drop in ipairs({ false, false, true, false }) do
    if drop then lru:delete("key") end
    local value, err, level = cache:get("key", nil, callback)
    ngx.say(value, " ", err, " ", level)
end
ngx.say("calls: ", calls)
--- response_body
value nil 3
value nil 1
value nil 2
value nil 1
calls: 1
--- no_error_log
[error]



=== TEST 2: every type keeps its value in both levels
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
local values = { number = 0.1, large = 2 ^ 60 + 2 ^ 8, negative = -1.5e-300, ["true"] = true, ["false"] = false, text = "a\0b\255",
                 empty = "", infinite = math.huge }
local wrong = 0
for name, value in pairs(values) do
    for _, expected in ipairs({ 3, 1, 2 }) do
        if expected == 2 then lru:delete(name) end
        local got, err, level = cache:get(name, nil, function() return value end)
        if name == "infinite" or name == "large" or name == "negative" then
            -- Only 14 digits of a number are promised in the second level.
            if level ~= expected or math.abs(got / value - 1) > 1e-13 and got ~= value then wrong = wrong + 1 end
        elseif got ~= value or level ~= expected or err then
            wrong = wrong + 1
        end
    end
end
ngx.say("wrong: ", wrong)
--- response_body
wrong: 0
--- no_error_log
[error]



=== TEST 3: tables are copied into the second level, with what is in them
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
local function callback() return { list = { 1, 2, 3 }, deep = { deeper = { answer = 42 } } } end
local first = cache:get("key", nil, callback)
ngx.say(first == cache:get("key"))
lru:delete("key")
local second, _, level = cache:get("key")
ngx.say(level, " ", first == second, " ", #second.list, " ", second.deep.deeper.answer)
--- response_body
true
2 false 3 42
--- no_error_log
[error]



=== TEST 4: nil is cached, and its level tells it from nothing
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
local value, err, level = cache:get("key")
ngx.say(value, " ", err, " ", level)
for _, drop in ipairs({ false, false, true }) do
    if drop then lru:delete("key") end
    value, err, level = cache:get("key", nil, function() return nil end)
    ngx.say(value, " ", err, " ", level)
end
value, err, level = cache:get("key")
ngx.say(value, " ", err, " ", level)
--- response_body
nil nil -1
nil nil 3
nil nil 1
nil nil 2
nil nil 1
--- no_error_log
[error]



=== TEST 5: without a callback the levels are read all the same
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
cache:get("key", nil, function() return "value" end)
lru:delete("key")
for _ = 1, 2 do
    local value, err, level = cache:get("key")
    ngx.say(value, " ", err, " ", level)
end
--- response_body
value nil 2
value nil 1
--- no_error_log
[error]



=== TEST 6: nil goes to the dictionary for misses where there is one
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, shm_miss = "misses" }))
cache:get("nothing", nil, function() return nil end)
cache:get("something", nil, function() return 1 end)
ngx.say(#ngx.shared.cache:get_keys(), " ", #ngx.shared.misses:get_keys())
ngx.say(ngx.shared.cache:get("oneNothing"), " ", ngx.shared.misses:get("onenothing") ~= nil)
lru:delete("nothing")
local value, err, level = cache:get("nothing", nil, function() return "not called" end)
ngx.say(value, " ", err, " ", level)
--- response_body
1 1
nil true
nil nil 2
--- no_error_log
[error]



=== TEST 7: the callback gets the further arguments
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
ngx.say((cache:get("key", nil, function(...) return select("#", ...) .. table.concat({ ... }, "+") end, 1, 2, 3)))
--- response_body
31+2+3
--- no_error_log
[error]



=== TEST 8: a callback that returns an error is not cached, and its value comes along
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
local calls = 0
local function callback() calls = calls + 1 return calls == 2 and "half" or nil, "no luck " .. calls end
for _ = 1, 2 do
    local value, err, level = cache:get("key", nil, callback)
    ngx.say(value, " ", err, " ", level)
end
ngx.say((select(3, cache:get("key"))))
--- response_body
nil no luck 1 nil
half no luck 2 nil
-1
--- no_error_log
[error]



=== TEST 9: an error that is no text becomes one
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
local value, err = cache:get("key", nil, function() return nil, setmetatable({}, { __tostring = function() return "as text" end }) end)
ngx.say(value, " ", err, " ", type(err))
--- response_body
nil as text string
--- no_error_log
[error]



=== TEST 10: a callback that throws is an error with its traceback
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
local value, err, level = cache:get("key", nil, function() error("thrown") end)
ngx.say(value, " ", level)
ngx.say(err)
value, err = cache:get("key", nil, function() error({}) end)
ngx.say(value)
ngx.say(err)
--- response_body_like chomp
^nil nil
callback threw an error: .*: thrown
stack traceback:
(?s:.*)
nil
callback threw an error: table: 0x\w+$
--- no_error_log
[error]



=== TEST 11: after a callback threw the lock is free
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, resty_lock_opts = { timeout = 0 } }))
cache:get("key", nil, function() error("thrown") end)
ngx.say((cache:get("key", nil, function() return "value" end)))
--- response_body
value
--- no_error_log
[error]



=== TEST 12: a value of a type that cannot be cached is thrown back, and the lock is free
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, shm_locks = "locks", resty_lock_opts = { timeout = 0 } }))
for _, value in ipairs({ ngx.null, print, coroutine.create(function() end) }) do
    local ok, err = pcall(cache.get, cache, "key", nil, function() return value end)
    ngx.say(ok, " ", (err:gsub("^.*: ", "")))
    collectgarbage() collectgarbage()
end
ngx.say((cache:get("key", nil, function() return "value" end)))
--- response_body
false cannot cache value of type userdata
false cannot cache value of type function
false cannot cache value of type thread
value
--- no_error_log
[error]



=== TEST 13: a table that has no JSON is an error that is returned
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
local value, err, level = cache:get("key", nil, function() return { print } end)
ngx.say(value, " ", type(err), " ", level)
ngx.say((select(3, cache:get("key"))))
--- response_body
nil string nil
-1
--- no_error_log
[error]



=== TEST 14: key, callback and options are checked
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
ngx.say((select(2, pcall(cache.get, cache))))
ngx.say((select(2, pcall(cache.get, cache, 1))))
ngx.say((select(2, pcall(cache.get, cache, "key", nil, "callback"))))
ngx.say((select(2, pcall(cache.get, cache, "key", nil, false))))
ngx.say((select(2, pcall(cache.get, cache, "key", "options"))))
for option, value in pairs({ ttl = "1" }) do ngx.say((select(2, pcall(cache.get, cache, "key", { [option] = value })))) end
ngx.say((select(2, pcall(cache.get, cache, "key", { ttl = -1 }))))
ngx.say((select(2, pcall(cache.get, cache, "key", { neg_ttl = true }))))
ngx.say((select(2, pcall(cache.get, cache, "key", { neg_ttl = -1 }))))
ngx.say((select(2, pcall(cache.get, cache, "key", { resurrect_ttl = -1 }))))
ngx.say((select(2, pcall(cache.get, cache, "key", { shm_set_tries = 0 }))))
ngx.say((select(2, pcall(cache.get, cache, "key", { l1_serializer = "f" }))))
--- response_body
key must be a string
key must be a string
callback must be nil or a function
callback must be nil or a function
opts must be a table
opts.ttl must be a number
opts.ttl must be >= 0
opts.neg_ttl must be a number
opts.neg_ttl must be >= 0
opts.resurrect_ttl must be >= 0
opts.shm_set_tries must be >= 1
opts.l1_serializer must be a function
--- no_error_log
[error]



=== TEST 15: values live as long as ttl says, nil as long as neg_ttl says, the call before the instance
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, ttl = 10, neg_ttl = 20 }))
cache:get("value", nil, function() return 1 end)
cache:get("nothing", nil, function() return nil end)
cache:get("value of the call", { ttl = 30, neg_ttl = 40 }, function() return 1 end)
cache:get("nothing of the call", { ttl = 30, neg_ttl = 40 }, function() return nil end)
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



=== TEST 16: fractions of a second count, in the first and in the second level
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, ttl = 0.2 }))
local calls = 0
local function callback() calls = calls + 1 return calls end
cache:get("key", nil, callback)
ngx.sleep(0.12)
lru:delete("key")
local value, _, level = cache:get("key", nil, callback)
ngx.say(value, " from ", level)
ngx.sleep(0.12)
value, _, level = cache:get("key", nil, callback)
ngx.say(value, " from ", level)
--- response_body
1 from 2
2 from 3
--- no_error_log
[error]



=== TEST 17: a ttl of 0 means for ever, in both levels
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, ttl = 0.05, neg_ttl = 0.05 }))
cache:get("value", { ttl = 0 }, function() return 1 end)
cache:get("nothing", { neg_ttl = 0 }, function() return nil end)
ngx.sleep(0.1)
ngx.say((select(3, cache:get("value"))), " ", (select(3, cache:get("nothing"))))
lru:delete("value")
lru:delete("nothing")
ngx.say((select(3, cache:get("value"))), " ", (select(3, cache:get("nothing"))))
ngx.say((select(3, cache:get("value"))), " ", (select(3, cache:get("nothing"))))
--- response_body
1 1
2 2
1 1
--- no_error_log
[error]



=== TEST 18: the callback's third value is the time to live
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, ttl = 10, neg_ttl = 20 }))
cache:get("value", nil, function() return 1, nil, 50 end)
cache:get("nothing", { neg_ttl = 3 }, function() return nil, nil, 60 end)
cache:get("ignored", nil, function() return 1, nil, "70" end)
for _, key in ipairs({ "value", "nothing", "ignored" }) do
    ngx.say(key, ": ", math.ceil((cache:peek(key))))
end
--- response_body
value: 50
nothing: 60
ignored: 10
--- no_error_log
[error]



=== TEST 19: with a negative time to live the value is returned and forgotten
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
for _ = 1, 2 do
    local value, err, level = cache:get("key", nil, function() return "fresh", nil, -1 end)
    ngx.say(value, " ", err, " ", level)
end
ngx.say((cache:peek("key")))
--- response_body
fresh nil 3
fresh nil 3
nil
--- no_error_log
[error]



=== TEST 20: callbacks run under a lock with the options given, in the dictionary given
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, shm_locks = "locks", resty_lock_opts = { exptime = 7, timeout = 1 } }))
cache:get("key", nil, function()
    local keys = ngx.shared.locks:get_keys()
    ngx.say(#keys, " ", keys[1], " ", math.ceil(ngx.shared.locks:ttl(keys[1])))
    ngx.say(#ngx.shared.cache:get_keys())
    return 1
end)
ngx.say(#ngx.shared.locks:get_keys())
--- response_body
1 lua-resty-mlcache:lock:onekey 7
0
0
--- no_error_log
[error]



=== TEST 21: of many light threads one runs the callback
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
local calls, levels, threads = 0, {}, {}
for i = 1, 8 do
    threads[i] = ngx.thread.spawn(function()
        local value, _, level = cache:get("key", nil, function() calls = calls + 1 ngx.sleep(0.05) return "value" end)
        levels[#levels + 1] = level
        return value
    end)
end
for i = 1, 8 do
    ngx.thread.wait(threads[i])
end
table.sort(levels)
ngx.say("calls: ", calls, ", levels: ", table.concat(levels, " "))
--- response_body
calls: 1, levels: 2 2 2 2 2 2 2 3
--- no_error_log
[error]



=== TEST 22: a caller that waits too long for another's callback gets an error
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, resty_lock_opts = { timeout = 0.03 } }))
local thread = ngx.thread.spawn(function()
    return cache:get("key", nil, function() ngx.sleep(0.1) return "slow" end)
end)
local value, err, level = cache:get("key", nil, function() return "not called" end)
ngx.say(value, " ", err, " ", level)
ngx.thread.wait(thread)
ngx.say((cache:get("key")))
--- response_body
nil could not acquire callback lock: timeout nil
slow
--- no_error_log
[error]



=== TEST 23: the serializer makes what the first level holds, each time a value enters it
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, l1_serializer = function(value) return "<" .. tostring(value) .. ">" end }))
for _, drop in ipairs({ false, false, true }) do
    if drop then lru:delete("key") end
    local value, _, level = cache:get("key", nil, function() return false end)
    ngx.say(value, " from ", level)
end
local _, _, value = cache:peek("key")
ngx.say("second level: ", value)
--- response_body
<false> from 3
<false> from 1
<false> from 2
second level: false
--- no_error_log
[error]



=== TEST 24: the serializer may return what no second level could hold
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, l1_serializer = function(value) return function() return value end end }))
ngx.say(cache:get("key", nil, function() return 5 end)())
--- response_body
5
--- no_error_log
[error]



=== TEST 25: the serializer is never asked about nil
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, l1_serializer = function() error("called") end }))
local value, err, level = cache:get("key", nil, function() return nil end)
ngx.say(value, " ", err, " ", level)
lru:delete("key")
value, err, level = cache:get("key")
ngx.say(value, " ", err, " ", level)
--- response_body
nil nil 3
nil nil 2
--- no_error_log
[error]



=== TEST 26: what the serializer reports, throws or fails to return is an error of get()
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
local function try(serializer)
    local value, err = cache:get("key", { l1_serializer = serializer }, function() return 1 end)
    ngx.say(value, " ", (err:gsub("error: .*: ", "error: ... ")))
end
try(function() return nil, "cannot" end)
try(function() error("thrown") end)
try(function() return nil end)
--- response_body
nil cannot
nil l1_serializer threw an error: ... thrown
nil l1_serializer returned a nil value
--- no_error_log
[error]



=== TEST 27: the serializer of the call goes before that of the instance
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, l1_serializer = function() return "instance" end }))
ngx.say((cache:get("a", { l1_serializer = function() return "call" end }, function() return 1 end)))
ngx.say((cache:get("b", nil, function() return 1 end)))
--- response_body
call
instance
--- no_error_log
[error]



=== TEST 28: a value that does not fit the second level is returned, kept in the first, and logged
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, shm_set_tries = 2 }))
fill("cache", 64)
local value, err, level = cache:get("key", nil, function() return ("v"):rep(2 ^ 21) end)
ngx.say(#value, " ", err, " ", level)
ngx.say((select(3, cache:get("key"))))
--- response_body
2097152 nil 3
1
--- error_log eval
[
    qr/\[warn\] .*could not write to lua_shared_dict 'cache' after 2 tries \(no memory\), it is either/,
]
--- no_error_log
[error]



=== TEST 29: writing to a full dictionary is tried again, as evicting goes on with each try
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, shm_set_tries = 5 }))
fill("cache", 4)
cache:get("key", nil, function() return ("v"):rep(4096) end)
lru:delete("key")
ngx.say((select(3, cache:get("key"))))
--- response_body
2
--- no_error_log
[error]
[warn]



=== TEST 30: peek() tells what remains, and leaves the first level alone
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
ngx.say((cache:peek("key")))
cache:get("key", { ttl = 20 }, function() return "value" end)
lru:delete("key")
ngx.sleep(0.05)
local ttl, err, value = cache:peek("key")
ngx.say(ttl < 20 and ttl > 19, " ", err, " ", value)
ngx.say((lru:get("key")))
ngx.say((select(2, pcall(cache.peek, cache, 1))))
--- response_body
nil
true nil value
nil
key must be a string
--- no_error_log
[error]



=== TEST 31: peek() finds nil, wherever it lies
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, neg_ttl = 9 }))
local split = assert(mlcache.new("two", "cache", { neg_ttl = 8, shm_miss = "misses" }))
for _, each in ipairs({ cache, split }) do
    each:get("key", nil, function() return nil end)
    local ttl, err, value = each:peek("key")
    ngx.say(math.ceil(ttl), " ", err, " ", value)
end
--- response_body
9 nil nil
8 nil nil
--- no_error_log
[error]



=== TEST 32: peek() finds what has run out only when asked to, as often as asked to
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, ttl = 0.05, neg_ttl = 0.05, shm_miss = "misses" }))
cache:get("value", nil, function() return 1 end)
cache:get("nothing", nil, function() return nil end)
ngx.sleep(0.1)
for _, key in ipairs({ "value", "nothing" }) do
    ngx.say((cache:peek(key)))
    for _ = 1, 2 do
        local ttl, err, value, stale = cache:peek(key, true)
        ngx.say(ttl < 0, " ", err, " ", value, " ", stale)
    end
end
--- response_body
nil
true nil 1 true
true nil 1 true
nil
true nil nil true
true nil nil true
--- no_error_log
[error]



=== TEST 33: a value that runs out as it is read is not kept for ever
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru, ttl = 0.05 }))
local calls = 0
local function callback() calls = calls + 1 return calls end
cache:get("key", nil, callback)
local deadline = ngx.now() + 0.1
repeat
    lru:delete("key")
    cache:get("key", nil, callback)
    ngx.sleep(0.001)
until ngx.now() > deadline
local before = cache:get("key", nil, callback)
ngx.sleep(0.1)
ngx.say(cache:get("key", nil, callback) > before)
--- response_body
true
--- no_error_log
[error]



=== TEST 34: hits of the first and the second level are compiled
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache").new(100)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
local traces = 0
local function count(what) if what == "stop" then traces = traces + 1 end end
cache:get("key", nil, function() return "value" end)
jit.attach(count, "trace")
for _ = 1, 1000 do cache:get("key") end
local first = traces
for _ = 1, 1000 do lru:delete("key") cache:get("key") end
local second = traces - first
for _ = 1, 1000 do cache:get("nowhere") end
jit.attach(count)
ngx.say(first > 0, " ", second > 0, " ", traces - first - second > 0)
--- response_body
true true true
--- no_error_log
[error]



=== TEST 35: in its last millisecond a value comes from the second level and does not enter the first
--- lua
local time = ngx.now()
ngx.now = function() return time end
package.loaded["resty.mlcache"], package.loaded["resty.mlcache.value"] = nil, nil
local lru = require("resty.lrucache").new(100)
local cache = assert(require("resty.mlcache").new("one", "cache", { ttl = 0.5, lru = lru }))
local function ask()
    local value, err, level = cache:get("key", nil, function() return "value" end)
    ngx.say(value, " ", err, " ", level)
end
ask()
lru:delete("key")
time = time + 0.5
ask()
ask()
ngx.sleep(0.6)
ask()
--- response_body
value nil 3
value nil 2
value nil 2
value nil 3
--- no_error_log
[error]



=== TEST 36: peek() tells of what never runs out how long ago it was written
--- lua
local cache = assert(require("resty.mlcache").new("one", "cache", { neg_ttl = 0, shm_miss = "misses" }))
cache:get("key", { ttl = 0 }, function() return "value" end)
cache:get("nothing", nil, function() return nil end)
ngx.sleep(0.5)
for _, key in ipairs({ "key", "nothing" }) do
    local remaining, err, value, stale = cache:peek(key)
    ngx.say(remaining <= -0.49 and remaining > -1.5 or remaining, " ", err, " ", value, " ", stale)
end
ngx.say(select("#", cache:peek("key")))
--- response_body
true nil value false
true nil nil false
4
--- no_error_log
[error]



=== TEST 37: what cannot be written as JSON is an error that says where
--- lua
local cache = assert(require("resty.mlcache").new("one", "cache"))
local value, err = cache:get("key", nil, function() return { call = function() end } end)
ngx.say(value, " ", err)
--- response_body
nil could not serialize value for lua_shared_dict insertion: could not encode table value: Cannot serialise function: type not supported
--- no_error_log
[error]
