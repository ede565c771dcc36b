# resty.lock: one holder at a time among all workers.

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

run_tests();

__DATA__

=== TEST 1: a free lock is taken without waiting, and released with 1
--- lua
local lock = assert(require("resty.lock"):new("locks"))
ngx.say(lock:lock("a"))
ngx.say(lock:unlock())
ngx.say(lock:lock("a"))
ngx.say(lock:unlock())
--- response_body
0
1
0
1
--- no_error_log
[error]



=== TEST 2: new() reports a dictionary that does not exist
--- lua
local lock, err = require("resty.lock"):new("nowhere")
ngx.say(lock, ", ", err)
--- response_body
nil, dictionary not found
--- no_error_log
[error]



=== TEST 3: lock() without a key is an error, not an exception
--- lua
local lock = require("resty.lock"):new("locks")
local elapsed, err = lock:lock(nil)
ngx.say(elapsed, ", ", err)
local ok
ok, err = lock:unlock()
ngx.say(ok, ", ", err)
--- response_body
nil, nil key
nil, unlocked
--- no_error_log
[error]



=== TEST 4: an object that holds a lock cannot take a second one
--- lua
local lock = require("resty.lock"):new("locks")
lock:lock("a")
local elapsed, err = lock:lock("b")
ngx.say(elapsed, ", ", err)
ngx.say(ngx.shared.locks:get("b"))
ngx.say(lock:unlock())
--- response_body
nil, locked
nil
1
--- no_error_log
[error]



=== TEST 5: unlocking what is not locked says so
--- lua
local lock = require("resty.lock"):new("locks")
local ok, err = lock:unlock()
ngx.say(ok, ", ", err)
lock:lock("a")
lock:unlock()
ok, err = lock:unlock()
ngx.say(ok, ", ", err)
--- response_body
nil, unlocked
nil, unlocked
--- no_error_log
[error]



=== TEST 6: different keys are different locks
--- lua
local new = require("resty.lock").new
local first, second = new(nil, "locks", { timeout = 0 }), new(nil, "locks", { timeout = 0 })
ngx.say(first:lock("a"))
ngx.say(second:lock("b"))
--- response_body
0
0
--- no_error_log
[error]



=== TEST 7: waiting ends with "timeout", and the loser can try again
--- lua
local new = require("resty.lock").new
local first, second = new(nil, "locks"), new(nil, "locks", { timeout = 0.02 })
first:lock("a")
local elapsed, err = second:lock("a")
ngx.say(elapsed, ", ", err)
first:unlock()
ngx.say(second:lock("a"))
--- response_body
nil, timeout
0
--- no_error_log
[error]



=== TEST 8: with a timeout of 0 there is no wait
--- lua
local new = require("resty.lock").new
local holder = new(nil, "locks")
holder:lock("b")
ngx.update_time()
local start = ngx.now()
local elapsed, err = new(nil, "locks", { timeout = 0 }):lock("b")
ngx.update_time()
ngx.say(elapsed, ", ", err, ", at once: ", ngx.now() - start < 0.005)
--- response_body
nil, timeout, at once: true
--- no_error_log
[error]



=== TEST 9: steps double until the lock is free, and their sum is returned
--- lua
local new = require("resty.lock").new
local holder = new(nil, "locks")
holder:lock("a")
local thread = ngx.thread.spawn(function()
    ngx.sleep(0.05)
    holder:unlock()
end)
ngx.say(string.format("%.3f", new(nil, "locks"):lock("a")))
ngx.thread.wait(thread)
--- response_body_like chomp
^0\.(063|127)$
--- no_error_log
[error]



=== TEST 10: step, ratio and max_step shape the waiting
--- lua
local new = require("resty.lock").new
local function wait_with(opts)
    local holder = new(nil, "locks")
    holder:lock("a")
    local thread = ngx.thread.spawn(function()
        ngx.sleep(0.05)
        holder:unlock()
    end)
    local lock = new(nil, "locks", opts)
    ngx.say(string.format("%.3f", lock:lock("a")))
    lock:unlock()
    ngx.thread.wait(thread)
end
wait_with({ step = 0.02 })
wait_with({ step = 0.003, ratio = 3 })
wait_with({ step = 0.01, max_step = 0.015 })
--- response_body_like chomp
^0\.(060|140)
0\.(120|363)
0\.(055|070|085)$
--- no_error_log
[error]



=== TEST 11: a lock ends by itself after exptime
--- lua
local new = require("resty.lock").new
local holder = new(nil, "locks", { exptime = 0.04 })
holder:lock("a")
local elapsed = new(nil, "locks"):lock("a")
ngx.say(elapsed > 0 and elapsed < 1)
--- response_body
true
--- no_error_log
[error]



=== TEST 12: a wait is no longer than the own exptime
--- lua
local new = require("resty.lock").new
local holder = new(nil, "locks")
holder:lock("a")
local lock = new(nil, "locks", { exptime = 0.03, timeout = 3 })
ngx.update_time()
local start = ngx.now()
local elapsed, err = lock:lock("a")
ngx.update_time()
ngx.say(elapsed, ", ", err, ", ", ngx.now() - start < 0.5)
--- response_body
nil, timeout, true
--- no_error_log
[error]



=== TEST 13: a lock whose object was collected is free
--- lua
local new = require("resty.lock").new
do
    local lock = new(nil, "locks")
    lock:lock("a")
end
collectgarbage()
collectgarbage()
ngx.say(new(nil, "locks", { timeout = 0 }):lock("a"))
--- response_body
0
--- no_error_log
[error]



=== TEST 14: expire() gives the lock a new life
--- lua
local new = require("resty.lock").new
local holder = new(nil, "locks", { exptime = 0.05 })
local other = new(nil, "locks", { timeout = 0 })
holder:lock("a")
ngx.say(holder:expire(10))
ngx.sleep(0.1)
local elapsed, err = other:lock("a")
ngx.say(elapsed, ", ", err)
ngx.say(holder:expire(0.01))
ngx.sleep(0.05)
ngx.say(other:lock("a"))
--- response_body
true
nil, timeout
true
0
--- no_error_log
[error]



=== TEST 15: expire() without a time takes exptime, and without a lock is an error
--- lua
local lock = require("resty.lock"):new("locks", { exptime = 5 })
local ok, err = lock:expire(1)
ngx.say(ok, ", ", err)
lock:lock("a")
ngx.say(lock:expire())
ngx.say(math.floor(ngx.shared.locks:ttl("a") + 0.5))
lock:unlock()
--- response_body
nil, unlocked
true
5
--- no_error_log
[error]



=== TEST 16: a key of any length up to the dictionary's limit can be locked
--- lua
local lock = require("resty.lock"):new("locks")
ngx.say(lock:lock(("k"):rep(65535)))
ngx.say(lock:unlock())
local elapsed, err = lock:lock(("k"):rep(65536))
ngx.say(elapsed, ", ", err)
--- response_body
0
1
nil, key too long
--- no_error_log
[error]



=== TEST 17: a lock taken by another worker is respected, and waited for
--- worker
own.lock = require("resty.lock"):new("locks")
--- lua
ngx.say(elsewhere('return own.lock:lock("a")'))
local elapsed, err = require("resty.lock"):new("locks", { timeout = 0.02 }):lock("a")
ngx.say(elapsed, ", ", err)
ngx.say(elsewhere('return own.lock:unlock()'))
ngx.say(own.lock:lock("a"))
ngx.say(elsewhere('return require("resty.lock"):new("locks", { timeout = 0.02 }):lock("a")'))
--- response_body
0
nil, timeout
1
0
nil timeout
--- no_error_log
[error]
