# resty.mlcache: making instances, and what their options may be.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

run_tests();

__DATA__

=== TEST 1: new() insists on a name, a dictionary, and a table of options
--- lua
local mlcache = require "resty.mlcache"
for _, arguments in ipairs({ {}, { "one" }, { "one", "cache", "options" } }) do
    local ok, err = pcall(mlcache.new, unpack(arguments))
    ngx.say(ok, ": ", err)
end
--- response_body
false: name must be a string
false: shm must be a string
false: opts must be a table
--- no_error_log
[error]



=== TEST 2: a wrong argument is reported where the caller stands
--- lua
local mlcache = require "resty.mlcache"
local function careless()
    local cache = mlcache.new("one", "cache", { ttl = -1 })
    return cache
end
ngx.say((select(2, pcall(careless)):gsub(":%d+:", ":N:")))
--- response_body_like chomp
^content_by_lua.*:N: opts\.ttl must be >= 0$
--- no_error_log
[error]



=== TEST 3: a dictionary that does not exist is an error that is returned
--- lua
local mlcache = require "resty.mlcache"
for _, arguments in ipairs({
    { "one", "nowhere" },
    { "one", "cache", { shm_miss = "nowhere" } },
    { "one", "cache", { shm_locks = "nowhere" } },
    { "one", "cache", { ipc_shm = "nowhere" } },
}) do
    local cache, err = mlcache.new(unpack(arguments))
    ngx.say(cache, ", ", err)
end
--- response_body
nil, no such lua_shared_dict: nowhere
nil, no such lua_shared_dict for opts.shm_miss: nowhere
nil, no such lua_shared_dict for opts.shm_locks: nowhere
nil, failed to initialize mlcache IPC (could not instantiate mlcache.ipc): no such lua_shared_dict: nowhere
--- no_error_log
[error]



=== TEST 4: numbers must be numbers, and not too small
--- lua
local mlcache = require "resty.mlcache"
for _, option in ipairs({ "lru_size", "ttl", "neg_ttl", "resurrect_ttl", "shm_set_tries" }) do
    ngx.say((select(2, pcall(mlcache.new, "one", "cache", { [option] = "5" }))))
end
for _, option in ipairs({ "ttl", "neg_ttl", "resurrect_ttl", "shm_set_tries" }) do
    ngx.say((select(2, pcall(mlcache.new, "one", "cache", { [option] = -0.5 }))))
end
ngx.say((select(2, pcall(mlcache.new, "one", "cache", { shm_set_tries = 0 }))))
--- response_body
opts.lru_size must be a number
opts.ttl must be a number
opts.neg_ttl must be a number
opts.resurrect_ttl must be a number
opts.shm_set_tries must be a number
opts.ttl must be >= 0
opts.neg_ttl must be >= 0
opts.resurrect_ttl must be >= 0
opts.shm_set_tries must be >= 1
opts.shm_set_tries must be >= 1
--- no_error_log
[error]



=== TEST 5: options that are no numbers have their types checked, too
--- lua
local mlcache = require "resty.mlcache"
for _, option in ipairs({ "resty_lock_opts", "shm_miss", "shm_locks", "l1_serializer", "ipc" }) do
    ngx.say((select(2, pcall(mlcache.new, "one", "cache", { [option] = false }))))
end
ngx.say((select(2, pcall(mlcache.new, "one", "cache", { ipc_shm = 1 }))))
--- response_body
opts.resty_lock_opts must be a table
opts.shm_miss must be a string
opts.shm_locks must be a string
opts.l1_serializer must be a function
opts.ipc must be a table
opts.ipc_shm must be a string
--- no_error_log
[error]



=== TEST 6: the bundled channel and a channel of one's own exclude each other
--- lua
local mlcache = require "resty.mlcache"
ngx.say((select(2, pcall(mlcache.new, "one", "cache", { ipc_shm = "events", ipc = {} }))))
--- response_body
cannot specify both of opts.ipc_shm and opts.ipc
--- no_error_log
[error]



=== TEST 7: a channel of one's own must have its functions, of which poll may be left out
--- lua
local mlcache = require "resty.mlcache"
local function nothing() end
for _, missing in ipairs({ "register_listeners", "broadcast", "poll" }) do
    local ipc = { register_listeners = nothing, broadcast = nothing, poll = nothing }
    ipc[missing] = 1
    ngx.say((select(2, pcall(mlcache.new, "one", "cache", { ipc = ipc }))))
end
ngx.say(type(mlcache.new("one", "cache", { ipc = { register_listeners = nothing, broadcast = nothing } })))
--- response_body
opts.ipc.register_listeners must be a function
opts.ipc.broadcast must be a function
opts.ipc.poll must be a function
table
--- no_error_log
[error]



=== TEST 8: a channel of one's own is told what to listen to
--- lua
local mlcache = require "resty.mlcache"
local lines = {}
local function register(events)
    for name, event in pairs(events) do
        lines[#lines + 1] = name .. ": " .. event.channel .. ", " .. type(event.handler)
    end
end
assert(mlcache.new("one", "cache", { ipc = { register_listeners = register, broadcast = function() end } }))
table.sort(lines)
ngx.say(table.concat(lines, "\n"))
--- response_body
invalidation: mlcache:invalidations:one, function
purge: mlcache:purge:one, function
--- no_error_log
[error]



=== TEST 9: an error of register_listeners is returned with its reason
--- lua
local mlcache = require "resty.mlcache"
local cache, err = mlcache.new("one", "cache", {
    ipc = { register_listeners = function() return nil, "no wire" end, broadcast = function() end },
})
ngx.say(cache, ", ", err)
--- response_body
nil, failed to initialize custom IPC (opts.ipc.register_listeners returned an error): no wire
--- no_error_log
[error]



=== TEST 10: without options values live 30 seconds and nil lives 5
--- lua
local mlcache = require "resty.mlcache"
local cache = assert(mlcache.new("one", "cache"))
cache:get("value", nil, function() return 1 end)
cache:get("nothing", nil, function() return nil end)
ngx.say(math.ceil((cache:peek("value"))), " ", math.ceil((cache:peek("nothing"))))
--- response_body
30 5
--- no_error_log
[error]



=== TEST 11: the first level holds lru_size keys, and the second what it drops
--- lua
local mlcache = require "resty.mlcache"
local cache = assert(mlcache.new("small", "cache", { lru_size = 2 }))
for i = 1, 3 do
    cache:get("key " .. i, nil, function() return i end)
end
for _, i in ipairs({ 3, 2, 1 }) do
    local value, _, level = cache:get("key " .. i)
    ngx.say(value, " from ", level)
end
--- response_body
3 from 1
2 from 1
1 from 2
--- no_error_log
[error]



=== TEST 12: a first level can be handed over, also one of the other kind
--- lua
local mlcache = require "resty.mlcache"
local lru = require("resty.lrucache.pureffi").new(10)
local cache = assert(mlcache.new("one", "cache", { lru = lru }))
cache:get("key", nil, function() return "value" end)
ngx.say((lru:get("key")))
lru:delete("key")
ngx.say((select(3, cache:get("key"))))
--- response_body
value
2
--- no_error_log
[error]



=== TEST 13: the module says which version of the interface it has
--- lua
local mlcache = require "resty.mlcache"
ngx.say(mlcache._VERSION)
--- response_body_like chomp
^\d+\.\d+\.\d+$
--- no_error_log
[error]
