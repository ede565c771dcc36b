# resty.worker.events: what one worker sees of it, and a second one where that matters.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

run_tests();

__DATA__

=== TEST 1: a poll with nothing to do is done
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
events.poll()
ngx.say(events.poll())
--- response_body
done
--- no_error_log
[error]



=== TEST 2: post returns true and calls no callback, the next poll does
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
ngx.say(events.post("test", "a", 1))
ngx.say(listener.heard())
ngx.say(events.poll())
ngx.say(listener.heard())
--- response_body
true
nothing
done
a=1
--- no_error_log
[error]



=== TEST 3: a callback gets data, event, source and the process that posted
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
events.register(function(...)
    local data, event, source, pid = ...
    ngx.say(data, " ", event, " ", source, " ", pid == ngx.worker.pid(), " ", select("#", ...))
end, "mine")
events.post("mine", "a", "text")
events.poll()
--- response_body
text a mine true 4
--- no_error_log
[error]



=== TEST 4: an event reaches the other worker with the pid of the one that posted
--- worker
require("listener").start()
require("resty.worker.events").register(function(_, _, _, pid) own.pid = pid end, "test")
--- lua
require("listener").post("a", "text")
ngx.say(elsewhere('return require("listener").heard()'))
ngx.say(elsewhere('return require("listener").hear()'))
ngx.say(tonumber(elsewhere('return own.pid')) == ngx.worker.pid())
--- response_body
nothing
a=text
true
--- no_error_log
[error]



=== TEST 5: data of every kind that JSON knows arrives as it was
--- worker
require("listener").start()
require("resty.worker.events").register(function(data)
    own.texts = own.texts or {}
    table.insert(own.texts, type(data) == "table" and require("cjson").encode(data) or type(data) .. " " .. tostring(data))
end, "test")
--- lua
local listener = require "listener"
listener.post("a")
listener.post("a", "")
listener.post("a", "two\nlines \0 \"quoted\"")
listener.post("a", 0.5)
listener.post("a", false)
listener.post("a", { 1, { 2 }, "three" })
listener.post("a", { deep = { deeper = { deepest = true } } })
ngx.say((elsewhere('require("resty.worker.events").poll() return table.concat(own.texts, "; ")'):gsub("%z", "zero")))
--- response_body
nil nil; string ; string two
lines zero "quoted"; number 0.5; boolean false; [1,[2],"three"]; {"deep":{"deeper":{"deepest":true}}}
--- no_error_log
[error]



=== TEST 6: data that cannot be written as JSON is refused, and no callback hears of it
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
local ok, err = events.post("test", "a", { callback = function() end })
ngx.say(ok, " ", (err:gsub("^.*;", "... ;")))
ngx.say(listener.hear())
listener.post("b")
ngx.say(listener.hear())
--- response_body
nil ... ; Cannot serialise function: type not supported
nothing
b
--- error_log
failed posting event "a" by "test"; Cannot serialise function: type not supported
--- no_error_log
[alert]



=== TEST 7: the events of one worker are handled in their order, in both
--- worker
require("listener").start()
--- lua
local listener = require "listener"
for i = 1, 20 do
    listener.post("a", i)
end
local here, there = listener.hear(), elsewhere('return require("listener").hear()')
ngx.say(here)
ngx.say(here == there)
--- response_body
a=1 a=2 a=3 a=4 a=5 a=6 a=7 a=8 a=9 a=10 a=11 a=12 a=13 a=14 a=15 a=16 a=17 a=18 a=19 a=20
true
--- no_error_log
[error]



=== TEST 8: post_local returns true, and calls no callback before the next poll
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
ngx.say(events.post_local("test", "a", 1))
ngx.say(listener.heard())
ngx.say(listener.hear())
--- response_body
true
nothing
a=1
--- no_error_log
[error]



=== TEST 9: a local event has no pid, hands its data on as it is, and stays in its worker
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
local data = { call = function() return "called" end }
events.register(function(got, event, source, pid)
    ngx.say(got == data, " ", got.call(), " ", event, " ", source, " ", pid)
end, "mine")
events.post_local("mine", "a", data)
events.poll()
events.post_local("test", "b")
events.poll()
ngx.say(elsewhere('return require("listener").hear()'))
--- response_body
true called a mine nil
nothing
--- no_error_log
[error]



=== TEST 10: local events are handled in their order
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
for i = 1, 5 do
    events.post_local("test", "a", i)
end
ngx.say(listener.hear())
ngx.say(listener.hear())
--- response_body
a=1 a=2 a=3 a=4 a=5
nothing
--- no_error_log
[error]



=== TEST 11: a callback hears of every event, of those of a source, or of single ones
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
local said = {}
local function say(name)
    return function(_, event, source)
        said[#said + 1] = name .. ":" .. source .. "." .. event
    end
end
events.poll()
ngx.say(select("#", events.register(say("every"))))
ngx.say(select("#", events.register(say("source"), "s")))
ngx.say(select("#", events.register(say("events"), "s", "a", "b")))
for _, event in ipairs { "a", "b", "c" } do
    events.post("s", event)
end
events.post("other", "a")
events.poll()
ngx.say(table.concat(said, " "))
--- response_body
0
0
0
every:s.a source:s.a events:s.a every:s.b source:s.b events:s.b every:s.c source:s.c every:other.a
--- no_error_log
[error]



=== TEST 12: all callbacks of an event are called
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
local count = 0
local callbacks = {}
for i = 1, 5 do
    callbacks[i] = function() count = count + i end
    events.register(callbacks[i], "s", "a")
end
events.post("s", "a")
events.poll()
ngx.say(count)
--- response_body
15
--- no_error_log
[error]



=== TEST 13: a callback that was taken away hears nothing more
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
local said = {}
local function every(_, event) said[#said + 1] = "every:" .. event end
local function of_source(_, event) said[#said + 1] = "source:" .. event end
local function of_events(_, event) said[#said + 1] = "events:" .. event end
local function round(...)
    local removed = events.unregister(...)
    said = {}
    events.post("s", "a")
    events.post("s", "b")
    events.poll()
    ngx.say(removed, " ", table.concat(said, " "))
end
events.poll()
events.register(every)
events.register(of_source, "s")
events.register(of_events, "s", "a", "b")
round(every)
round(of_source, "s")
round(of_events, "s", "a")
round(of_events, "s", "b")
--- response_body
true source:a events:a source:b events:b
true events:a events:b
true events:b
true 
--- no_error_log
[error]



=== TEST 14: to take away what is not there returns false
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
local function callback() end
ngx.say(events.unregister(callback))
ngx.say(events.unregister(callback, "s"))
ngx.say(events.unregister(callback, "s", "a"))
events.register(callback, "s")
ngx.say(events.unregister(callback))
ngx.say(events.unregister(callback, "s", "a"))
ngx.say(events.unregister(callback, "s"))
ngx.say(events.unregister(callback, "s"))
--- response_body
false
false
false
false
false
true
false
--- no_error_log
[error]



=== TEST 15: what is not a function is refused with an error
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
for _, name in ipairs { "register", "register_weak", "unregister" } do
    for _, value in ipairs { "text", 1, false } do
        ngx.say((select(2, pcall(events[name], value, "s")):gsub("^.-:%d+: ", "")))
    end
    ngx.say((select(2, pcall(events[name])):gsub("^.-:%d+: ", "")))
end
--- response_body eval
"expected function, got: string\nexpected function, got: number\nexpected function, got: boolean\nexpected function, got: nil\n" x 3
--- no_error_log
[error]



=== TEST 16: a weak callback is called until no other reference holds it
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
local count, strong_count = 0, 0
local held = function() count = count + 1 end
ngx.say(select("#", events.register_weak(held, "s")))
events.register(function() strong_count = strong_count + 1 end, "s")
local function post()
    events.post("s", "a")
    events.poll()
    ngx.say(count, " ", strong_count)
end
post()
collectgarbage()
collectgarbage()
post()
held = nil
collectgarbage()
collectgarbage()
post()
--- response_body
0
1 1
2 2
2 3
--- no_error_log
[error]



=== TEST 17: weak callbacks are registered for single events, too, and can be taken away
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
local said = {}
local function callback(_, event) said[#said + 1] = event end
events.register_weak(callback, "s", "a", "b")
local function post()
    said = {}
    events.post("s", "a")
    events.post("s", "b")
    events.post("s", "c")
    events.poll()
    ngx.say(table.concat(said, " "))
end
post()
ngx.say(events.unregister(callback, "s", "a", "b"))
post()
ngx.say(events.unregister(callback, "s", "a", "b"))
--- response_body eval
"a b\ntrue\n\nfalse\n"
--- no_error_log
[error]



=== TEST 18: a callback that throws is logged and holds up neither the others nor the next events
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
local second = 0
events.register(function() error("broken callback") end, "test", "a")
events.register(function() second = second + 1 end, "test", "a")
listener.post("a", 1)
listener.post("b", 2)
ngx.say(listener.hear(), ", ", second)
--- response_body
a=1 b=2, 1
--- error_log eval
[qr/worker-events: event callback failed; source=test, event=a, pid=\d+/, "broken callback"]
--- no_error_log
[alert]



=== TEST 19: a callback may throw what is not text
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
events.register(function() error({ code = 7 }) end, "test", "a")
events.register(function() error(nil) end, "test", "b")
listener.post("a")
listener.post("b")
listener.post("c")
ngx.say(listener.hear())
--- response_body
a b c
--- error_log eval
[qr/event callback failed; source=test, event=a/, qr/event callback failed; source=test, event=b/]
--- no_error_log
[alert]



=== TEST 20: a poll in a callback is recursive
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
events.register(function() ngx.say(events.poll()) end, "s", "a")
events.post("s", "a")
ngx.say(events.poll())
--- response_body
recursive
done
--- no_error_log
[error]



=== TEST 21: what is posted while an event is handled comes after the events that were there
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
events.register(function(depth)
    if depth < 3 then
        listener.post("more", depth + 1)
        ngx.say(events.poll())
    end
end, "test", "more")
listener.post("more", 1)
listener.post("a")
listener.post("b")
events.poll()
events.poll()
events.poll()
ngx.say(listener.hear())
--- response_body
recursive
recursive
more=1 a b more=2 more=3
--- no_error_log
[error]



=== TEST 22: a poll beside one that waits in a callback is recursive, and its event is handled
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
events.register(function() ngx.sleep(0.05) end, "test", "slow")
listener.post("slow")
local thread = ngx.thread.spawn(events.poll)
listener.post("a")
ngx.say(events.poll())
ngx.thread.wait(thread)
ngx.say(listener.hear())
--- response_body
recursive
slow a
--- no_error_log
[error]



=== TEST 23: a unique event is handled by one worker only
--- worker
require("listener").start()
--- lua
local listener = require "listener"
listener.post("a", 1, "key")
ngx.say(listener.hear())
ngx.say(elsewhere('return require("listener").hear()'))
listener.post("a", 2, "other key")
ngx.say(elsewhere('return require("listener").hear()'))
ngx.say(listener.hear())
--- response_body
a=1
nothing
a=2
nothing
--- no_error_log
[error]



=== TEST 24: further events with a unique value are ignored until its timeout is over
--- worker
require("listener").start({ timeout = 0.2 })
--- lua
local listener = require "listener"
listener.post("a", 1, "key")
listener.post("a", 2, "key")
listener.post("b", 3, "other")
listener.post("c", 4)
ngx.say(listener.hear())
listener.post("a", 5, "key")
ngx.say(listener.hear())
ngx.say(elsewhere('return require("listener").hear()'))
ngx.sleep(0.25)
listener.post("a", 6, "key")
ngx.say(listener.hear())
--- response_body
a=1 b=3 c=4
nothing
c=4
a=6
--- no_error_log
[error]



=== TEST 25: true is a unique value
--- worker
require("listener").start()
--- lua
local listener = require "listener"
listener.post("a", 1, true)
listener.post("a", 2, true)
ngx.say(listener.hear())
ngx.say(elsewhere('return require("listener").hear()'))
--- response_body
a=1
nothing
--- no_error_log
[error]



=== TEST 26: an event that never comes is dropped after wait_max, and reported
--- worker
require("listener").start({ wait_max = 0.1, wait_interval = 0.01 })
--- lua
local listener = require "listener"
listener.post("a")
ngx.shared.events:incr("events-last", 1)
listener.post("b")
ngx.update_time()
local start = ngx.now()
ngx.say(listener.hear())
ngx.update_time()
local waited = ngx.now() - start
ngx.say(waited > 0.05 and waited < 0.4 or waited)
--- response_body
a b
true
--- error_log eval
qr/worker-events: dropping event; waiting for event data timed out, id: \d+/
--- no_error_log
[alert]



=== TEST 27: an event that comes late is waited for, and keeps its place
--- worker
require("listener").start({ wait_max = 2, wait_interval = 0.01 })
--- lua
local dict, listener = ngx.shared.events, require "listener"
local id = dict:incr("events-last", 1)
listener.post("b")
local thread = ngx.thread.spawn(listener.hear)
ngx.sleep(0.05)
dict:set("events-data:" .. id, '{"source":"test","event":"a","pid":1}')
ngx.say(select(2, ngx.thread.wait(thread)))
--- response_body
a b
--- no_error_log
[error]



=== TEST 28: while one request waits for an event the others go on
--- worker
require("listener").start({ wait_max = 0.3, wait_interval = 0.01 })
--- lua
local events, listener = require "resty.worker.events", require "listener"
ngx.shared.events:incr("events-last", 1)
local thread = ngx.thread.spawn(listener.hear)
ngx.sleep(0.02)
ngx.update_time()
local start = ngx.now()
ngx.say(events.poll())
ngx.update_time()
ngx.say(ngx.now() - start < 0.1)
ngx.thread.wait(thread)
--- response_body
recursive
true
--- error_log
waiting for event data timed out
--- no_error_log
[alert]



=== TEST 29: configured tells whether configure has been called
--- lua
local events = require "resty.worker.events"
ngx.say(events.configured())
ngx.say(events.configure({ shm = "events", interval = 60 }))
ngx.say(events.configured())
--- response_body
false
true
true
--- no_error_log
[error]



=== TEST 30: a dictionary is required, and must exist
--- lua
local events = require "resty.worker.events"
ngx.say(events.configure({}))
ngx.say(events.configure({ shm = false }))
ngx.say(events.configure({ shm = "none" }))
ngx.say(events.configure({ shm = 7 }))
ngx.say((select(2, pcall(events.configure)):gsub("^.-:%d+: ", "")))
ngx.say(events.configured())
--- response_body
nil"shm" option required to start
nil"shm" option required to start
nilshm "none" not found
nilshm "7" not found
Expected a table, got nil
false
--- no_error_log
[error]



=== TEST 31: a wrong option is refused, the first of them by name
--- lua
local events = require "resty.worker.events"
local function refusal(opts)
    opts.shm = "events"
    ngx.say(select(2, events.configure(opts)))
end
refusal({ timeout = "2", interval = 0 })
refusal({ timeout = 0 })
refusal({ interval = {} })
refusal({ interval = 0 })
refusal({ interval = -1 })
refusal({ wait_interval = "a" })
refusal({ wait_interval = -1 })
refusal({ wait_max = true })
refusal({ wait_max = -1 })
refusal({ shm_retries = "many" })
refusal({ shm_retries = -1 })
ngx.say(events.configured())
--- response_body
optional "timeout" option must be a number
"timeout" must be greater than 0
optional "interval" option must be a number
"interval" must be greater than 0
"interval" must be greater than 0
optional "wait_interval" option must be a number
"interval" must be greater than or equal to 0
optional "wait_max" option must be a number
"wait_max" must be greater than or equal to 0
optional "shm_retries" option must be a number
"shm_retries" must be 0 or greater
false
--- no_error_log
[error]



=== TEST 32: a second configure is refused, and the callbacks stay
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
ngx.say(events.configure({ shm = "events", interval = 60 }))
ngx.say(events.configure({ shm = "misses", interval = 60 }))
ngx.say(events.configure({ wait_max = 1 }))
listener.post("a")
ngx.say(listener.hear())
--- response_body
nilAlready started, cannot change shm
nilAlready started, cannot change shm
nilshm "nil" not found
a
--- no_error_log
[error]



=== TEST 33: a callback that was registered before configure in this process stays, one of the master is dropped
--- master
own_events = {}
require("resty.worker.events").register(function(_, event) table.insert(own_events, "master:" .. event) end)
--- lua
local events = require "resty.worker.events"
events.configure({ shm = "events", interval = 60 })
events.register(function(_, event) table.insert(own_events, "worker:" .. event) end)
events.post("s", "a")
events.poll()
ngx.say(table.concat(own_events, " "))
--- response_body
worker:started worker:a
--- no_error_log
[error]



=== TEST 34: a callback that was registered before configure in the same process stays
--- lua
local events = require "resty.worker.events"
local said = {}
-- The first configure of a process is the one that drops: this one fails, as it names no dictionary.
events.configure({})
events.register(function(_, event) said[#said + 1] = event end)
events.configure({ shm = "events", interval = 60 })
events.post("s", "a")
events.poll()
ngx.say(table.concat(said, " "))
--- response_body
started a
--- no_error_log
[error]



=== TEST 35: when the master has configured, a worker cannot any more
--- master
pcall(require("resty.worker.events").configure, { shm = "events", interval = 60 })
--- lua
ngx.say(require("resty.worker.events").configure({ shm = "events", interval = 60 }))
--- response_body
nilAlready started, cannot change shm
--- no_error_log
[alert]



=== TEST 36: local events are handled before those of all workers, be they posted earlier or later
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
listener.post("a")
events.post_local("test", "b")
events.post_local("test", "c")
listener.post("d")
events.post_local("test", "e")
ngx.say(listener.hear())
--- response_body
b c e a d
--- no_error_log
[error]



=== TEST 37: what is posted while events are handled is handled in the same poll, what is local first
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
events.register(function()
    listener.post("b")
    events.post_local("test", "c")
    listener.post("d")
end, "test", "a")
listener.post("a")
listener.post("e")
ngx.say(listener.hear())
--- response_body
a e c b d
--- no_error_log
[error]



=== TEST 38: an event has a source and a name
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
for _, post in ipairs { events.post, events.post_local } do
    ngx.say(post("", "a"))
    ngx.say(post(nil, "a"))
    ngx.say(post("s", ""))
    ngx.say(post("s", 7))
end
--- response_body eval
"nilsource is required\nnilsource is required\nnilevent is required\nnilevent is required\n" x 2
--- no_error_log
[error]



=== TEST 39: a worker hears of its own start
--- worker
require("listener").start()
require("resty.worker.events").register(function(_, event, _, pid)
    if event == "started" and pid == ngx.worker.pid() then
        own.started = (own.started or 0) + 1
    end
end, "resty-worker-events")
--- lua
require("resty.worker.events").poll()
ngx.say(own.started)
--- response_body
1
--- no_error_log
[error]



=== TEST 40: the timer handles events without a poll
--- worker
require("listener").start({ interval = 0.01 })
--- lua
require("listener").post("a")
ngx.sleep(0.2)
ngx.say(require("listener").heard())
ngx.say(elsewhere('return require("listener").heard()'))
--- response_body
a
a
--- no_error_log
[error]



=== TEST 41: with a long interval only a poll handles events
--- worker
require("listener").start({ interval = 60 })
--- lua
ngx.sleep(0.1)
require("listener").post("a")
ngx.sleep(0.2)
ngx.say(require("listener").heard())
ngx.say(elsewhere('return require("listener").heard()'))
ngx.say(require("listener").hear())
--- response_body
nothing
nothing
a
--- no_error_log
[error]



=== TEST 42: an event list knows its source and its events, and nothing else
--- lua
local list = require("resty.worker.events").event_list("my source", "started", "changed")
ngx.say(list._source, " ", list.started, " ", list.changed)
local ok, err = pcall(function() return list.chnaged end)
ngx.say(ok, " ", err:find("unknown event", 1, true) ~= nil, " ", err:find("chnaged", 1, true) ~= nil)
--- response_body
my source started changed
false true true
--- no_error_log
[error]



=== TEST 43: an event that no dictionary could hold is refused
--- worker
require("listener").start({ shm = "few_events", shm_retries = 3 })
--- lua
local ok, err = require("resty.worker.events").post("test", "a", ("x"):rep(100000))
ngx.say(ok, " ", (err:gsub("^.*;", "... ;")))
--- response_body
nil ... ; no memory
--- error_log
failed posting event "a" by "test"; no memory
--- no_error_log
[alert]



=== TEST 44: old events make room for new ones
--- worker
require("listener").start({ shm = "few_events" })
--- lua
local listener = require "listener"
local heard = 0
for i = 1, 500 do
    listener.post("a", i .. ("x"):rep(1000))
    local text = listener.hear()
    if text == "a=" .. i .. ("x"):rep(1000) then
        heard = heard + 1
    end
end
ngx.say(heard)
--- response_body
500
--- no_error_log
[error]



=== TEST 45: a large event makes room among many small ones with further tries
--- worker
require("listener").start({ shm = "few_events", shm_retries = 999 })
--- lua
local events, listener = require "resty.worker.events", require "listener"
listener.hear()
fill("few_events", 1)
listener.post("a", ("x"):rep(8000))
ngx.say(#listener.hear())
--- response_body
8002
--- no_error_log
[error]
