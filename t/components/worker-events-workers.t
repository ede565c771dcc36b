# resty.worker.events: four workers, and workers that come and go.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

workers(4);

run_tests();

__DATA__

=== TEST 1: four workers hear the same events
--- worker
require("listener").start()
--- lua
require("listener").post("a", 1)
require("listener").post("b", 2)
for id = 0, 3 do
    ngx.say(elsewhere('return require("listener").hear()', id))
end
--- response_body
a=1 b=2
a=1 b=2
a=1 b=2
a=1 b=2
--- no_error_log
[error]



=== TEST 2: what four workers post at the same time comes in one order to all
--- worker
require("listener").start({ interval = 0.005 })
function own.post_many()
    for i = 1, 50 do
        require("listener").post(tostring(ngx.worker.id()), i)
        if i % 5 == 0 then
            ngx.sleep(0.001)
        end
    end
end
--- lua
for id = 0, 3 do
    elsewhere('assert(ngx.timer.at(0.05, function() own.post_many() own.posted = true end))', id)
end
local texts = {}
for id = 0, 3 do
    require("master").wait_until(function() return elsewhere('return own.posted', id) == "true" end)
end
for id = 0, 3 do
    texts[id] = elsewhere('require("resty.worker.events").poll() return require("listener").heard()', id)
end
local count, last = 0, {}
for id, i in texts[0]:gmatch("(%d+)=(%d+)") do
    count = count + 1
    assert(tonumber(i) == (last[id] or 0) + 1, "the events of one worker are out of order")
    last[id] = tonumber(i)
end
ngx.say(count)
ngx.say(texts[1] == texts[0] and texts[2] == texts[0] and texts[3] == texts[0])
--- response_body
200
true
--- no_error_log
[error]



=== TEST 3: a unique event that all workers post is handled once
--- worker
require("listener").start()
--- lua
for id = 0, 3 do
    elsewhere('require("listener").post("refresh", nil, "key")', id)
end
local heard = {}
for id = 0, 3 do
    local text = elsewhere('return require("listener").hear()', id)
    if text ~= "nothing" then
        heard[#heard + 1] = text
    end
end
ngx.say(table.concat(heard, "; "))
--- response_body
refresh
--- no_error_log
[error]



=== TEST 4: the timers of all workers handle an event
--- worker
require("listener").start({ interval = 0.01 })
--- lua
require("listener").post("a")
for id = 0, 3 do
    local heard
    require("master").wait_until(function()
        heard = elsewhere('return require("listener").heard()', id)
        return heard ~= "nothing"
    end)
    ngx.say(heard)
end
--- response_body
a
a
a
a
--- no_error_log
[error]



=== TEST 5: a missing event holds each worker up once, and none for good
--- worker
require("listener").start({ wait_max = 0.1, wait_interval = 0.01 })
--- lua
require("listener").post("a")
ngx.shared.events:incr("events-last", 1)
require("listener").post("b")
for id = 0, 3 do
    ngx.say(elsewhere('return require("listener").hear()', id))
    ngx.say(elsewhere('return require("listener").hear()', id))
end
--- response_body
a b
nothing
a b
nothing
a b
nothing
a b
nothing
--- error_log
waiting for event data timed out
--- no_error_log
[alert]



=== TEST 6: a worker that takes the place of a killed one hears what is new, and nothing old
--- worker
require("listener").start()
own.pid = ngx.worker.pid()
--- lua
local master = require "master"
require("listener").post("old")
for id = 0, 3 do
    elsewhere('return require("listener").hear()', id)
end
local victim = (ngx.worker.id() + 1) % 4
local pid = elsewhere('return own.pid', victim)
ngx.shared.elsewhere:delete("ready:" .. victim)
master.signal("KILL", pid)
master.wait_until(function() return ngx.shared.elsewhere:get("ready:" .. victim) end)
ngx.say(elsewhere('return own.pid', victim) ~= pid)
ngx.say(elsewhere('return require("listener").hear()', victim))
require("listener").post("new")
for id = 0, 3 do
    ngx.say(elsewhere('return require("listener").hear()', id))
end
elsewhere('require("listener").post("from the new one")', victim)
for id = 0, 3 do
    ngx.say(elsewhere('return require("listener").hear()', id))
end
--- response_body
true
nothing
new
new
new
new
from the new one
from the new one
from the new one
from the new one
--- error_log
exited on signal 9
--- no_error_log
[error]



=== TEST 7: a worker that is killed while it waits for a missing event does not keep the others from theirs
--- worker
require("listener").start({ wait_max = 0.5, wait_interval = 0.01 })
own.pid = ngx.worker.pid()
--- lua
local master = require "master"
ngx.shared.events:incr("events-last", 1)
local victim = (ngx.worker.id() + 1) % 4
local pid = elsewhere([[
    ngx.timer.at(0, function() require("resty.worker.events").poll() end)
    return own.pid
]], victim)
ngx.shared.elsewhere:delete("ready:" .. victim)
master.signal("KILL", pid)
require("listener").post("a")
master.wait_until(function() return ngx.shared.elsewhere:get("ready:" .. victim) end)
require("listener").post("b")
for id = 0, 3 do
    -- Whether the new one was there in time for "a" is a matter of luck.
    ngx.say((elsewhere('return require("listener").hear()', id):gsub("^a b$", "b")))
end
--- response_body
b
b
b
b
--- error_log
waiting for event data timed out
--- no_error_log
event callback failed



=== TEST 8: after a reload the old workers say that they stop, and the new ones hear nothing old
--- worker
require("resty.worker.events").register(function(_, event, _, pid)
    ngx.log(ngx.NOTICE, "heard of ", event, " of ", pid == ngx.worker.pid() and "this worker" or "another")
end, "resty-worker-events")
require("listener").start({ interval = 0.01 })
--- config
location = /heard {
    content_by_lua_block {
        ngx.say(ngx.worker.pid(), " ", require("listener").hear())
    }
}
--- lua
local master = require "master"
local old = {}
for id = 0, 3 do
    old[elsewhere('return ngx.worker.pid()', id)] = true
end
require("listener").post("old")
for id = 0, 3 do
    master.wait_until(function() return elsewhere('return require("listener").heard()', id) == "old" end)
end
master.signal("HUP")
local pid, heard
master.wait_until(function()
    pid, heard = (master.get("/heard") or ""):match("(%d+) (.-)\n")
    return pid and not old[pid]
end)
ngx.say(heard)
master.wait_until(function()
    return master.has_logged("stopping of this worker") and master.has_logged("stopping of another")
end)
--- response_body
nothing
--- error_log
heard of started of this worker
heard of stopping of this worker
heard of stopping of another
--- no_error_log
[error]



=== TEST 9: events of the new workers reach all of them after a reload
--- worker
require("listener").start({ interval = 0.01 })
own.pid = ngx.worker.pid()
own.generation = ngx.shared.elsewhere:get("generation")
ngx.shared.elsewhere:set("started:" .. ngx.worker.id(), own.generation)
--- config
location = /post_and_hear {
    content_by_lua_block {
        local master, run = require "master", require("elsewhere").run
        require("listener").post("new")
        for id = 0, 3 do
            local heard
            master.wait_until(function()
                heard = run('return own.generation, require("listener").heard()', id)
                return not heard:find("nothing")
            end)
            ngx.say(heard)
        end
    }
}
location = /pid {
    content_by_lua_block {
        ngx.print(ngx.worker.pid())
    }
}
--- lua
local master = require "master"
local old = {}
for id = 0, 3 do
    old[elsewhere('return own.pid', id)] = true
end
ngx.shared.elsewhere:set("generation", 2)
master.signal("HUP")
-- As long as an old worker is there, it may take a text that is meant for the new one of its number. This one stays until its
-- answer is sent, but its timers end when it is told to stop.
for pid in pairs(old) do
    master.wait_until(function()
        return tonumber(pid) == ngx.worker.pid() and ngx.worker.exiting() or not master.is_alive(pid)
    end)
end
local pid
master.wait_until(function()
    pid = master.get("/pid")
    return pid and not old[pid]
end)
for id = 0, 3 do
    master.wait_until(function() return ngx.shared.elsewhere:get("started:" .. id) == 2 end)
end
ngx.print((master.get("/post_and_hear")))
--- response_body
2 new
2 new
2 new
2 new
--- no_error_log
[error]
