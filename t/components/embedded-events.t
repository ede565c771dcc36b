# Behaviour of the resty.worker.events under lua/embedded beyond the interface that it offers.

use FindBin;
use lib $FindBin::Bin;
use Component;

plan(skip_all => 'not the libraries under lua/embedded') if !embedded();
plan('no_plan');

run_tests();

__DATA__

=== TEST 1: before configure there is nothing to post to and nothing to poll
--- lua
local events = require "resty.worker.events"
ngx.say(events.poll())
ngx.say(events.post("test", "a"))
--- response_body
nilworker-events is not configured
nilfailed posting event "a" by "test"; worker-events is not configured
--- error_log
failed posting event "a" by "test"; worker-events is not configured
--- no_error_log
[alert]



=== TEST 2: a thousand missing events are waited for no longer than one
--- worker
require("listener").start({ wait_max = 0.1, wait_interval = 0.01 })
--- lua
local listener = require "listener"
ngx.shared.events:incr("events-last", 1000)
listener.post("a")
ngx.update_time()
local start = ngx.now()
ngx.say(listener.hear())
ngx.update_time()
ngx.say(ngx.now() - start < 1)
--- response_body
a
true
--- error_log
waiting for event data timed out
--- no_error_log
[alert]



=== TEST 3: when the request of a waiting poll is ended, another one takes its place
--- worker
require("listener").start({ wait_max = 0.2, wait_interval = 0.01 })
--- lua
local events, listener = require "resty.worker.events", require "listener"
listener.post("a")
ngx.shared.events:incr("events-last", 1)
listener.post("b")
local thread = ngx.thread.spawn(events.poll)
ngx.say(ngx.thread.kill(thread))
ngx.say(events.poll())
ngx.sleep(1.2)
ngx.say(listener.hear())
--- response_body
1
recursive
a b
--- error_log
waiting for event data timed out
--- no_error_log
[alert]



=== TEST 4: events go on when the dictionary is emptied
--- worker
require("listener").start()
--- lua
local listener = require "listener"
for i = 1, 10 do
    listener.post("old")
end
listener.hear()
elsewhere('return require("listener").hear()')
ngx.shared.events:flush_all()
ngx.say(listener.hear())
listener.post("a")
listener.post("b")
ngx.say(listener.hear())
ngx.say(elsewhere('return require("listener").hear()'))
--- response_body
nothing
a b
a b
--- no_error_log
[error]



=== TEST 5: local events are not lost when the dictionary is emptied
--- worker
require("listener").start()
--- lua
local events, listener = require "resty.worker.events", require "listener"
listener.hear()
for i = 1, 10 do
    listener.post("old")
end
events.post_local("test", "local")
ngx.shared.events:flush_all()
ngx.say(listener.hear())
--- response_body
local
--- no_error_log
[error]



=== TEST 6: what is not JSON is dropped and reported
--- worker
require("listener").start()
--- lua
local listener = require "listener"
local id = ngx.shared.events:incr("events-last", 1)
ngx.shared.events:set("events-data:" .. id, "{not JSON")
listener.post("a")
ngx.say(listener.hear())
--- response_body
a
--- error_log
worker-events: dropping event; it is not JSON
--- no_error_log
[alert]



=== TEST 7: callbacks may be added and taken away while an event is handled
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
local said = {}
local function last(_, event) said[#said + 1] = "last:" .. event end
local function added(_, event) said[#said + 1] = "added:" .. event end
events.register(function(_, event)
    said[#said + 1] = "first:" .. event
    events.unregister(last, "s")
    events.unregister(added, "s")
    events.register(added, "s")
end, "s")
events.register(last, "s")
events.post("s", "a")
events.poll()
events.post("s", "b")
events.poll()
ngx.say(table.concat(said, " "))
--- response_body
first:a first:b
--- no_error_log
[error]



=== TEST 8: a callback that is registered twice is called twice, and goes as one
--- worker
require("listener").start()
--- lua
local events = require "resty.worker.events"
local count = 0
local function callback() count = count + 1 end
events.register(callback, "s")
events.register(callback, "s")
events.post("s", "a")
events.poll()
ngx.say(count)
ngx.say(events.unregister(callback, "s"))
events.post("s", "a")
events.poll()
ngx.say(count)
--- response_body
2
true
2
--- no_error_log
[error]



=== TEST 9: an event that could not be written keeps no worker waiting
--- worker
require("listener").start({ shm = "few_events", shm_retries = 0, wait_max = 30 })
--- lua
local events, listener = require "resty.worker.events", require "listener"
listener.hear()
fill("few_events", 1)
ngx.say(events.post("test", "a", ("x"):rep(8000)))
listener.post("b")
ngx.say(listener.hear())
--- response_body
nilfailed posting event "a" by "test"; no memory
b
--- error_log
worker-events: could not write to shm after 1 tries (no memory)
payload size: 80
failed posting event "a" by "test"; no memory
--- no_error_log
timed out



=== TEST 10: an event that no dictionary could hold costs no other
--- worker
require("listener").start({ shm = "few_events" })
--- lua
local events, listener = require "resty.worker.events", require "listener"
listener.post("a")
events.post("test", "too large", ("x"):rep(100000))
listener.post("b")
ngx.say(listener.hear())
ngx.say(elsewhere('return require("listener").hear()'))
--- response_body
a b
a b
--- error_log
failed posting event "too large" by "test"; no memory
--- no_error_log
[alert]



=== TEST 11: the events of the library itself are in its list
--- lua
local own = require("resty.worker.events").events
ngx.say(own._source, " ", own.started, " ", own.stopping)
--- response_body
resty-worker-events started stopping
--- no_error_log
[error]



=== TEST 12: a missing event is waited for where nothing can yield, too
--- worker
require("listener").start({ wait_max = 0.05, wait_interval = 0.01 })
if ngx.worker.id() == 0 then
    ngx.shared.events:incr("events-last", 1)
    require("listener").post("a")
    own.heard = require("listener").hear()
end
--- lua
ngx.say(elsewhere('return own.heard', 0))
--- response_body
a
--- error_log
waiting for event data timed out
--- no_error_log
[alert]
