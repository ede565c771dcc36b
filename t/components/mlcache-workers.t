# resty.mlcache: what two workers see of each other, over the bundled channel.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

# A cache in each worker: `own.level` looks a key up there, with a callback that returns `value` when one is given, and returns value,
# error and level as one text.
each_block(worker => <<'_EOC_');
own.cache, own.lru = require("caching").new({ ipc_shm = "events", ttl = 5 })
function own.level(key, value)
    local got, err, level = own.cache:get(key, nil, value ~= nil and function() return value end or nil)
    return tostring(got) .. " " .. tostring(err) .. " " .. tostring(level)
end
function own.update()
    assert(own.cache:update())
end
_EOC_

run_tests();

__DATA__

=== TEST 1: the two workers are two processes
--- lua
local there = tonumber(elsewhere('return ngx.worker.pid()'))
ngx.say(there > 0 and there ~= ngx.worker.pid())
--- response_body
true
--- no_error_log
[error]



=== TEST 2: a value that one worker fetched comes from the second level in the other
--- lua
ngx.say("here: ", own.level("key", "value"))
ngx.say("there: ", elsewhere('return own.level("key", "not called")'))
ngx.say("there: ", elsewhere('return own.level("key")'))
--- response_body
here: value nil 3
there: value nil 2
there: value nil 1
--- no_error_log
[error]



=== TEST 3: a cached nil is known to the other worker
--- lua
ngx.say(elsewhere('local value, err, level = own.cache:get("key", nil, function() return nil end) return value, err, level'))
ngx.say(own.level("key", "not called"))
--- response_body
nil nil 3
nil nil 2
--- no_error_log
[error]



=== TEST 4: of two workers one runs the callback while the other waits
--- lua
local thread = ngx.thread.spawn(function()
    return elsewhere('local v, e, l = own.cache:get("key", nil, function() ngx.sleep(0.1) return "there" end) return v, e, l')
end)
ngx.sleep(0.05)
ngx.say("here: ", own.level("key", "here"))
ngx.say("there: ", (select(2, ngx.thread.wait(thread))))
--- response_body
here: there nil 2
there: there nil 3
--- no_error_log
[error]



=== TEST 5: until update() a worker has its old value, and after it the new one
--- lua
own.cache:set("key", nil, "old")
elsewhere('own.update()')
ngx.say("there: ", elsewhere('return own.level("key")'))
own.cache:set("key", nil, "new")
ngx.say("here: ", own.level("key"))
ngx.say("there, not updated: ", elsewhere('return own.level("key")'))
elsewhere('own.update()')
ngx.say("there, updated: ", elsewhere('return own.level("key")'))
ngx.say("there, again: ", elsewhere('return own.level("key")'))
--- response_body
there: old nil 2
here: new nil 1
there, not updated: old nil 1
there, updated: new nil 2
there, again: new nil 1
--- no_error_log
[error]



=== TEST 6: after a delete both workers fetch anew, one of them by the callback
--- lua
own.level("key", "old")
elsewhere('own.level("key")')
ngx.say(own.cache:delete("key"))
elsewhere('own.update()')
ngx.say("there: ", elsewhere('return own.level("key", "new")'))
ngx.say("here: ", own.level("key", "not called"))
--- response_body
true
there: new nil 3
here: new nil 2
--- no_error_log
[error]



=== TEST 7: only the key that was deleted leaves the other worker
--- lua
for _, key in ipairs({ "a", "b" }) do
    own.level(key, 1)
end
elsewhere('own.level("a") own.level("b")')
own.cache:delete("a")
elsewhere('own.update()')
ngx.say(elsewhere('return own.level("a") .. ", " .. own.level("b")'))
--- response_body
nil nil -1, 1 nil 1
--- no_error_log
[error]



=== TEST 8: a purge empties the other worker's first level, too
--- lua
for i = 1, 10 do
    own.level("key " .. i, i)
end
elsewhere('for i = 1, 10 do own.level("key " .. i) end')
own.cache:purge()
ngx.say(elsewhere('own.update() local n = 0 for i = 1, 10 do if own.lru:get("key " .. i) then n = n + 1 end end return n'))
--- response_body
0
--- no_error_log
[error]



=== TEST 9: the worker that made the change need not update, and does not lose its value by it
--- lua
own.cache:set("key", nil, "value")
own.update()
ngx.say(own.level("key"))
--- response_body
value nil 1
--- no_error_log
[error]



=== TEST 10: events of other names on the same channel do not matter
--- lua
own.level("key", "value")
elsewhere('own.level("key")')
local other = assert(require("resty.mlcache").new("two", "cache", { ipc_shm = "events" }))
other:delete("key")
elsewhere('own.update()')
ngx.say(elsewhere('return own.level("key")'))
--- response_body
value nil 1
--- no_error_log
[error]



=== TEST 11: a hundred changes arrive with one update()
--- lua
for i = 1, 100 do
    own.cache:set("key " .. i, nil, "old")
end
elsewhere('own.update() for i = 1, 100 do own.level("key " .. i) end')
for i = 1, 100 do
    own.cache:set("key " .. i, nil, "new")
end
ngx.say(elsewhere([[
    own.update()
    local old = 0
    for i = 1, 100 do if own.level("key " .. i) ~= "new nil 2" then old = old + 1 end end
    return old
]]))
--- response_body
0
--- no_error_log
[error]



=== TEST 12: a value that was brought back by one worker is a stale one to the other
--- lua
local function fail() return nil, "no luck" end
own.cache:get("key", { ttl = 0.05 }, function() return "old" end)
ngx.sleep(0.06)
ngx.say((select(3, own.cache:get("key", { resurrect_ttl = 5 }, fail))))
ngx.say(elsewhere('return own.level("key")'))
--- response_body
4
old nil 4
--- no_error_log
[error]



=== TEST 13: instances made by the master work in every worker
--- master
early = assert(require("resty.mlcache").new("early", "cache", { ipc_shm = "events" }))
--- worker
own.ready = true
--- lua
ngx.say((select(3, early:get("key", nil, function() return "value" end))))
ngx.say(elsewhere('return (select(3, early:get("key")))'))
early:delete("key")
ngx.say(elsewhere('assert(early:update()) return (select(3, early:get("key")))'))
--- response_body
3
2
-1
--- no_error_log
[error]
