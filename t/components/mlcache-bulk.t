# resty.mlcache: many lookups in one call.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

each_block(before => 'local caching = require "caching"');

run_tests();

__DATA__

=== TEST 1: each lookup comes from the level that has it
--- lua
local cache, lru = caching.new()
for _, key in ipairs({ "a", "b" }) do
    cache:get(key, nil, function() return key end)
end
lru:delete("b")
local function callback() return "fetched" end
caching.say_results(assert(cache:get_bulk({ "a", nil, callback, nil, "b", nil, callback, nil, "c", nil, callback, nil, n = 3 })))
--- response_body
1: a nil 1
2: b nil 2
3: fetched nil 3
--- no_error_log
[error]



=== TEST 2: the list of results has three places for each lookup
--- lua
local cache = caching.new()
local results = cache:get_bulk({
    "a", nil, function() return "value" end, nil,
    "b", nil, function() return nil, "no luck" end, nil,
    n = 2,
})
ngx.say(results.n)
for i = 1, results.n do
    ngx.print(tostring(results[i]), " ")
end
ngx.say()
--- response_body
6
value nil 3 nil no luck nil 
--- no_error_log
[error]



=== TEST 3: lookups can be added one by one, each with an argument for its callback
--- lua
local mlcache = require "resty.mlcache"
local cache = caching.new()
local bulk = mlcache.new_bulk(3)
ngx.say(bulk.n, " ", mlcache.new_bulk().n)
for i = 1, 3 do
    bulk:add("key " .. i, i == 2 and { ttl = 99 } or nil, function(argument) return argument end, i * 10)
end
ngx.say(bulk.n)
caching.say_results(assert(cache:get_bulk(bulk)))
ngx.say(math.ceil((cache:peek("key 1"))), " ", math.ceil((cache:peek("key 2"))))
--- response_body
0 0
3
1: 10 nil 3
2: 20 nil 3
3: 30 nil 3
30 99
--- no_error_log
[error]



=== TEST 4: nil, false and errors keep their places
--- lua
local cache = caching.new()
caching.say_results(assert(cache:get_bulk({
    "a", nil, function() return nil end, nil,
    "b", nil, function() return false end, nil,
    "c", nil, function() return nil, "no luck" end, nil,
    "d", nil, function() return "value" end, nil,
    n = 4,
})))
--- response_body
1: nil nil 3
2: false nil 3
3: nil no luck nil
4: value nil 3
--- no_error_log
[error]



=== TEST 5: a callback that throws spoils only its own lookup
--- lua
local cache = caching.new()
local results = assert(cache:get_bulk({
    "a", nil, function() error("thrown") end, nil,
    "b", nil, function() return "value" end, nil,
    n = 2,
}))
ngx.say(results[1], " ", results[2]:match("^callback threw an error: "), results[3])
ngx.say(results[4], " ", results[5], " ", results[6])
--- response_body
nil callback threw an error: nil
value nil 3
--- no_error_log
[error]



=== TEST 6: callbacks run side by side, as many as concurrency says
--- lua
local mlcache = require "resty.mlcache"
local cache = caching.new()
local running, most = 0, 0
local function callback()
    running = running + 1
    most = math.max(most, running)
    ngx.sleep(0.01)
    running = running - 1
    return true
end
for _, concurrency in ipairs({ 0, 1, 2, 4, 20 }) do
    most = 0
    local bulk = mlcache.new_bulk(8)
    for i = 1, 8 do
        bulk:add(concurrency .. " " .. i, nil, callback)
    end
    assert(cache:get_bulk(bulk, concurrency > 0 and { concurrency = concurrency } or nil))
    ngx.say(concurrency, ": ", most)
end
--- response_body
0: 3
1: 1
2: 2
4: 4
20: 8
--- no_error_log
[error]



=== TEST 7: every callback runs once, however they are shared out
--- lua
local mlcache = require "resty.mlcache"
local cache = caching.new()
local wrong = 0
for total = 1, 9 do
    for concurrency = 1, 10 do
        local bulk, calls = mlcache.new_bulk(total), 0
        for i = 1, total do
            bulk:add(table.concat({ total, concurrency, i }, " "), nil, function() calls = calls + 1 return i end)
        end
        local results = assert(cache:get_bulk(bulk, { concurrency = concurrency }))
        if calls ~= total then wrong = wrong + 1 end
        for i, value, _, level in mlcache.each_bulk_res(results) do
            if value ~= i or level ~= 3 then wrong = wrong + 1 end
        end
    end
end
ngx.say("wrong: ", wrong)
--- response_body
wrong: 0
--- no_error_log
[error]



=== TEST 8: the lookups of a bulk wait for others' callbacks
--- lua
local cache = caching.new()
local thread = ngx.thread.spawn(function()
    return cache:get("slow", nil, function() ngx.sleep(0.05) return "theirs" end)
end)
caching.say_results(assert(cache:get_bulk({
    "quick", nil, function() return "ours" end, nil,
    "slow", nil, function() return "ours" end, nil,
    n = 2,
})))
ngx.thread.wait(thread)
--- response_body
1: ours nil 3
2: theirs nil 2
--- no_error_log
[error]



=== TEST 9: options of each lookup are obeyed
--- lua
local cache = caching.new({ ttl = 0.05 })
cache:get("stale", nil, function() return "old" end)
ngx.sleep(0.06)
caching.say_results(assert(cache:get_bulk({
    "stale", { resurrect_ttl = 5 }, function() return nil, "no luck" end, nil,
    "made", { l1_serializer = function(value) return "<" .. value .. ">" end }, function() return "x" end, nil,
    n = 2,
})))
--- response_body
1: old nil 4
2: <x> nil 3
--- no_error_log
[error]



=== TEST 10: the arguments are checked before anything is looked up
--- lua
local cache = caching.new()
local function callback() ngx.say("called") end
local function try(...) ngx.say((select(2, pcall(cache.get_bulk, cache, ...)))) end
try()
try({})
try({ n = 0 }, "options")
try({ n = 0 }, { concurrency = "3" })
try({ n = 0 }, { concurrency = 0 })
try({ "a", nil, callback, nil, 5, nil, callback, nil, n = 2 })
try({ "a", nil, callback, nil, "b", nil, nil, nil, n = 2 })
try({ "a", { ttl = -1 }, callback, nil, n = 1 })
try({ "a", nil, callback, nil, "b", "options", callback, nil, n = 2 })
--- response_body
bulk must be a table
bulk must have n field
opts must be a table
opts.concurrency must be a number
opts.concurrency must be > 0
key at index 5 must be a string for operation 2 (got number)
callback at index 7 must be a function for operation 2 (got nil)
options at index 2 for operation 1 are invalid: opts.ttl must be >= 0
options at index 6 for operation 2 are invalid: opts must be a table
--- no_error_log
[error]



=== TEST 11: each_bulk_res() takes results only
--- lua
local mlcache = require "resty.mlcache"
ngx.say((select(2, pcall(mlcache.each_bulk_res, {}))))
--- response_body
res must have res.n field; is this a get_bulk() result?
--- no_error_log
[error]
