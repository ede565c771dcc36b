# resty.mlcache.ipc: the bundled channel between workers.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

run_tests();

__DATA__

=== TEST 1: new() reports a dictionary that does not exist
--- lua
local channel, err = require("resty.mlcache.ipc").new("nowhere")
ngx.say(channel, ", ", err)
--- response_body
nil, no such lua_shared_dict: nowhere
--- no_error_log
[error]



=== TEST 2: events reach the subscribers in the other worker, in their order, whole
--- worker
own.channel = assert(require("resty.mlcache.ipc").new("events"))
own.seen = {}
own.channel:subscribe("news", function(data) own.seen[#own.seen + 1] = data end)
--- lua
local odd = "a:b\0:" .. ("x"):rep(1000)
for _, data in ipairs({ "first", "", odd }) do
    ngx.say(own.channel:broadcast("news", data))
end
ngx.say(elsewhere('local ok, err = own.channel:poll() return ok, err, #own.seen, own.seen[1], #own.seen[2], #own.seen[3]'))
--- response_body
true
true
true
true nil 3 first 0 1005
--- no_error_log
[error]



=== TEST 3: one's own events come back only in debug mode
--- worker
own.channel = assert(require("resty.mlcache.ipc").new("events"))
own.seen = {}
own.channel:subscribe("news", function(data) own.seen[#own.seen + 1] = data end)
--- lua
own.channel:broadcast("news", "event")
assert(own.channel:poll())
ngx.say(#own.seen)
local loud = assert(require("resty.mlcache.ipc").new("events", true))
loud:subscribe("news", function(data) ngx.say("got ", data) end)
assert(loud:poll())
--- response_body
0
got event
--- no_error_log
[error]



=== TEST 4: an event is seen once
--- worker
own.channel = assert(require("resty.mlcache.ipc").new("events"))
own.seen = {}
own.channel:subscribe("news", function(data) own.seen[#own.seen + 1] = data end)
--- lua
own.channel:broadcast("news", "event")
elsewhere('own.channel:poll()')
elsewhere('own.channel:poll()')
ngx.say(elsewhere('return #own.seen'))
--- response_body
1
--- no_error_log
[error]



=== TEST 5: every subscriber of a channel is called, those of another are not
--- lua
local channel = assert(require("resty.mlcache.ipc").new("events", true))
for _, name in ipairs({ "a", "b" }) do
    channel:subscribe("news", function(data) ngx.say(name, " ", data) end)
end
channel:subscribe("olds", function(data) ngx.say("olds ", data) end)
channel:broadcast("news", "1")
channel:broadcast("nobody's", "2")
channel:broadcast("olds", "3")
ngx.say(channel:poll())
--- response_body
a 1
b 1
olds 3
true
--- no_error_log
[error]



=== TEST 6: a subscriber that throws is logged, and does not keep the others from the event
--- lua
local channel = assert(require("resty.mlcache.ipc").new("events", true))
channel:subscribe("news", function() error("thrown") end)
channel:subscribe("news", function(data) ngx.say(data) end)
channel:broadcast("news", "event")
ngx.say(channel:poll())
--- response_body
event
true
--- error_log eval
[
    qr/\[error\] .*callback for channel 'news' threw a Lua error: .*thrown/,
]
--- no_error_log
[crit]



=== TEST 7: arguments are checked
--- lua
local channel = assert(require("resty.mlcache.ipc").new("events"))
ngx.say((select(2, pcall(channel.poll, channel, "1"))))
--- response_body
timeout must be a number
--- no_error_log
[error]



=== TEST 8: an event that is announced but missing is waited for until the timeout
--- lua
local channel = assert(require("resty.mlcache.ipc").new("events", true))
channel:subscribe("news", function(data) ngx.say(data) end)
channel:broadcast("news", "event")
ngx.shared.events:delete(1)
local ok, err = channel:poll(0.03)
ngx.say(ok, " ", err)
--- response_body
nil timeout
--- error_log eval
[
    qr/\[info\] .*no event data at index '1', retrying in: 0\.001s/,
]
--- no_error_log
[error]



=== TEST 9: a dictionary that another module writes to is noticed
--- lua
local channel = assert(require("resty.mlcache.ipc").new("events", true))
channel:subscribe("news", function(data) ngx.say(data) end)
channel:broadcast("news", "first")
channel:broadcast("news", "second")
ngx.shared.events:set(1, 5)
ngx.say(channel:poll())
ngx.shared.events:set("lua-resty-ipc:index", "text")
local ok, err = channel:poll()
ngx.say(ok, " ", err)
--- response_body
second
true
nil index is not a number, shm tampered with
--- error_log eval
[
    qr/\[error\] .*event at index '1' is not a string, shm tampered with/,
]
--- no_error_log
[crit]



=== TEST 10: a worker that comes late does not run through what was evicted
--- lua
local channel = assert(require("resty.mlcache.ipc").new("few_events", true))
local last
channel:subscribe("news", function(data) last = data end)
for i = 1, 100 do
    channel:broadcast("news", i .. ("."):rep(1000))
end
ngx.say(channel:poll())
ngx.say(last:match("^%d+"))
--- response_body
true
100
--- no_error_log
[error]



=== TEST 11: polling without events is compiled
--- lua
local channel = assert(require("resty.mlcache.ipc").new("events"))
local traces = 0
local function count(what) if what == "stop" then traces = traces + 1 end end
jit.attach(count, "trace")
for _ = 1, 1000 do channel:poll() end
jit.attach(count)
ngx.say(traces > 0)
--- response_body
true
--- no_error_log
[error]
