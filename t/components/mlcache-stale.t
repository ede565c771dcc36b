# resty.mlcache: stale values that stand in for fresh ones (resurrect_ttl).

use FindBin;
use lib $FindBin::Bin;
use Component 'no_plan';

each_block(before => 'local caching = require "caching"');

run_tests();

__DATA__

=== TEST 1: when the callback returns an error, the value that ran out is used, and marked
--- lua
local cache, lru = caching.new({ ttl = 0.05, resurrect_ttl = 0.1 })
local ask = caching.asking(cache, { { "old" }, { nil, "no luck" }, { "new" } })
ask()
ngx.sleep(0.06)
ask()
ask()
lru:delete("key")
ask()
ngx.sleep(0.12)
ask()
--- response_body
old nil 3
old nil 4
old nil 1
old nil 4
new nil 3
--- error_log eval
[
    qr/\[warn\] .*callback returned an error \(no luck\) but stale value found/,
]
--- no_error_log
[error]



=== TEST 2: a nil that ran out is used, too
--- lua
local cache = caching.new({ neg_ttl = 0.05, resurrect_ttl = 5 })
local ask = caching.asking(cache, { { nil }, { nil, "no luck" } })
ask()
ngx.sleep(0.06)
ask()
ask()
--- response_body
nil nil 3
nil nil 4
nil nil 1
--- no_error_log
[error]



=== TEST 3: a nil that ran out in the dictionary for misses is used, too
--- lua
local cache, lru = caching.new({ neg_ttl = 0.05, resurrect_ttl = 5, shm_miss = "misses" })
local ask = caching.asking(cache, { { nil }, { nil, "no luck" } })
ask()
ngx.sleep(0.06)
ask()
lru:delete("key")
ask()
--- response_body
nil nil 3
nil nil 4
nil nil 4
--- no_error_log
[error]



=== TEST 4: as long as there are errors, the value is used again and again
--- lua
local cache = caching.new({ ttl = 0.05, resurrect_ttl = 0.05 })
local ask = caching.asking(cache, { { "old" }, { nil, "1" }, { nil, "2" }, { nil, "3" }, { "new" } })
for i = 1, 5 do
    ask()
    ngx.sleep(0.06)
end
--- response_body
old nil 3
old nil 4
old nil 4
old nil 4
new nil 3
--- no_error_log
[error]



=== TEST 5: what the failing callback returned besides its error is ignored
--- lua
local cache = caching.new({ ttl = 0.05, resurrect_ttl = 5 })
local ask = caching.asking(cache, { { "old" }, { "half", "no luck", 100 } })
ask()
ngx.sleep(0.06)
ask()
ngx.say(math.ceil((cache:peek("key"))))
--- response_body
old nil 3
old nil 4
5
--- no_error_log
[error]



=== TEST 6: the call may say how long, and may ask for it alone
--- lua
local cache = caching.new({ ttl = 0.05 })
local ask = caching.asking(cache, { { "old" }, { nil, "no luck" }, { nil, "no luck again" } })
ask()
ngx.sleep(0.06)
ask({ resurrect_ttl = 0.05 })
ngx.sleep(0.06)
ask()
--- response_body
old nil 3
old nil 4
nil no luck again nil
--- no_error_log
[error]



=== TEST 7: without resurrect_ttl the error is returned
--- lua
local cache = caching.new({ ttl = 0.05 })
local ask = caching.asking(cache, { { "old" }, { nil, "no luck" } })
ask()
ngx.sleep(0.06)
ask()
--- response_body
old nil 3
nil no luck nil
--- no_error_log
[error]



=== TEST 8: where no value ever was the error is returned
--- lua
local cache = caching.new({ ttl = 0.05, resurrect_ttl = 5 })
local ask = caching.asking(cache, { { nil, "no luck" } })
ask()
--- response_body
nil no luck nil
--- no_error_log
[error]



=== TEST 9: a callback that throws brings nothing back
--- lua
local cache = caching.new({ ttl = 0.05, resurrect_ttl = 5 })
cache:get("key", nil, function() return "old" end)
ngx.sleep(0.06)
local value, err, level = cache:get("key", nil, function() error("thrown") end)
ngx.say(value, " ", err:match("^callback threw an error: "), err:match("thrown"), " ", level)
--- response_body
nil callback threw an error: thrown nil
--- no_error_log
[error]



=== TEST 10: a caller that waits too long for another's callback takes the value that ran out
--- lua
local cache = caching.new({ ttl = 0.05, resurrect_ttl = 5, shm_locks = "locks", resty_lock_opts = { timeout = 0.03 } })
cache:get("key", nil, function() return "old" end)
ngx.sleep(0.06)
local thread = ngx.thread.spawn(function()
    return cache:get("key", nil, function() ngx.sleep(0.1) return "new" end)
end)
local value, err, level = cache:get("key", nil, function() return "not called" end)
ngx.say(value, " ", err, " ", level)
ngx.thread.wait(thread)
value, err, level = cache:get("key")
ngx.say(value, " ", err, " ", level)
--- response_body
old nil 4
new nil 1
--- error_log eval
[
    qr/\[warn\] .*could not acquire callback lock: timeout/,
]
--- no_error_log
[error]



=== TEST 11: the serializer makes the value that is brought back what the first level holds
--- lua
local cache = caching.new({ ttl = 0.05, resurrect_ttl = 5, l1_serializer = function(value) return "<" .. value .. ">" end })
cache:get("key", nil, function() return "old" end)
ngx.sleep(0.06)
local value, err, level = cache:get("key", nil, function() return nil, "no luck" end)
ngx.say(value, " ", err, " ", level)
--- response_body
<old> nil 4
--- no_error_log
[error]
