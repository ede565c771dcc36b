# However many rules there are, and whether requests came all the time or not at all: 1.2 s after the file was replaced no request is
# served by the policy before.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

workers(2);
worker_connections(1024);
timeout(60);

# A policy of so many rules, of which the one for /x stands at the end and has the backend of this name. The others are different ones
# for another `mark`.
each_block(before => <<'_EOC_');
local LIMIT = 1.2

local function policy(count, backend, mark)
    local rules = {}
    for i = 1, count - 1 do
        rules[i] = ('{"rule":"r%d","upstream":"one","internal_dsl":[["EQ","HOST","h%d.example"],["STARTS_WITH","URL","/%s"]]}')
            :format(i, i % 997, (mark or "p") .. i)
    end
    rules[count] = ('{"rule":"x","upstream":"%s","internal_dsl":[["STARTS_WITH","URL","/x"]]}'):format(backend)
    local groups = {}
    for i, name in ipairs({ "one", "two" }) do
        groups[i] = ('{"name":"%s","mode":"http","backends":[{"address":"127.0.0.1","port":%d}]}'):format(name, testing.port(name))
    end
    return '{"http":{"tcp":{"80":[' .. table.concat(rules, ",") .. ']}},"backend_group":[' .. table.concat(groups, ",") .. "]}"
end

-- Puts a policy in force, and has every worker serve by it.
local function begin(count)
    testing.await_reader()
    local before = testing.generation()
    testing.replace_policy(policy(count, "one"))
    assert(testing.wait_until(function() return testing.generation() > before end, 30), "not taken over")
    ngx.sleep(LIMIT)
    for _ = 1, 40 do
        assert(testing.who("/x") == "one")
    end
end

-- How many of 40 requests at once are served by this backend.
local function burst(backend)
    local threads, served = {}, 0
    for i = 1, 40 do
        threads[i] = ngx.thread.spawn(testing.who, "/x")
    end
    for i = 1, 40 do
        local _, who = ngx.thread.wait(threads[i])
        served = served + (who == backend and 1 or 0)
    end
    return served
end

-- The policy changes after a second without requests: how many of 40, LIMIT seconds later, are served by the new one.
local function burst_after_silence(count, mark)
    begin(count)
    ngx.sleep(1)
    testing.replace_policy(policy(count, "two", mark))
    if count > 10000 or mark then
        -- Reading that many new rules takes seconds.
        assert(testing.wait_until(function() return testing.generation() == 3 end, 30), "not taken over")
    end
    ngx.sleep(LIMIT)
    return burst("two")
end

-- Requests all the time, while the policy changes: how many were sent LIMIT seconds after that and served by another backend.
local function late_under_load(count, backend)
    local replaced, late, last = nil, 0, nil
    local load = require("testing.load").start(4, function()
        local sent = ngx.now()
        last = testing.who("/x")
        if replaced and sent > replaced + LIMIT and last ~= backend then
            late = late + 1
        end
        return last
    end)
    ngx.sleep(0.5)
    local text = policy(count, backend)
    testing.replace_policy(text)
    ngx.update_time()
    replaced = ngx.now()
    ngx.sleep(LIMIT + 1.5)
    load:stop()
    return late .. " late, at last " .. last
end
_EOC_

run_tests();

__DATA__

=== TEST 1: a burst after some seconds without any request, 20 rules
--- lua
ngx.say(burst_after_silence(20))
--- response_body
40
--- no_error_log
[error]



=== TEST 2: 1,000 rules
--- lua
ngx.say(burst_after_silence(1000))
--- response_body
40
--- no_error_log
[error]



=== TEST 3: 10,000 rules
--- lua
ngx.say(burst_after_silence(10000))
--- response_body
40
--- no_error_log
[error]



=== TEST 4: requests all the time, 20 rules
--- lua
begin(20)
ngx.say(late_under_load(20, "two"))
--- response_body
0 late, at last two
--- no_error_log
[error]



=== TEST 5: requests all the time, 1,000 rules
--- lua
begin(1000)
ngx.say(late_under_load(1000, "two"))
--- response_body
0 late, at last two
--- no_error_log
[error]



=== TEST 6: requests all the time, 10,000 rules
--- lua
begin(10000)
ngx.say(late_under_load(10000, "two"))
--- response_body
0 late, at last two
--- no_error_log
[error]



=== TEST 7: 100,000 rules, a burst and requests all the time
--- lua
ngx.say(burst_after_silence(100000))
LIMIT = 4
ngx.say(late_under_load(100000, "one"))
--- response_body
40
0 late, at last one
--- no_error_log
[error]



=== TEST 8: a burst after all of 10,000 rules changed
--- lua
ngx.say(burst_after_silence(10000, "q"))
--- response_body
40
--- no_error_log
[error]
