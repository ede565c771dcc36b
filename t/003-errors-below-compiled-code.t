# Errors that C throws below compiled Lua code: pcall catches each of them, and the worker lives.
#
# Each block makes the loop compile with a size that is fine, and then comes with one that is not. An error without a handler
# ends the worker ("PANIC: unprotected error"), which closes the connection.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

each_block(rules => '[]');

run_tests();

__DATA__

=== TEST 1: out of memory in string.rep
--- lua
local thrown = require "testing.thrown"
thrown.limit_memory()
local text = ("x"):rep(100)
ngx.say(thrown.message(function(size) return text:rep(size) end, 10, 6000000))
--- response_body
not enough memory
--- no_error_log
[alert]



=== TEST 2: out of memory in a concatenation
--- lua
local thrown = require "testing.thrown"
thrown.limit_memory()
local small, large = ("x"):rep(100), ("y"):rep(40000000)
ngx.say(thrown.message(function(text) return text .. text .. text .. text .. text .. text .. text .. text end, small, large))
--- response_body
not enough memory
--- no_error_log
[alert]



=== TEST 3: out of memory in table.new
--- lua
local thrown = require "testing.thrown"
thrown.limit_memory()
local new = require "table.new"
ngx.say(thrown.message(function(size) return new(size, 0) end, 10, 80000000))
--- response_body
not enough memory
--- no_error_log
[alert]



=== TEST 4: a table of more entries than there can be
--- lua
local thrown = require "testing.thrown"
thrown.limit_memory()
local new = require "table.new"
ngx.say(thrown.message(function(size) return new(0, size) end, 10, 200000000))
--- response_body
table overflow
--- no_error_log
[alert]



=== TEST 5: a table that grows until memory is out
--- lua
local thrown = require "testing.thrown"
thrown.limit_memory()
ngx.say(thrown.message(function(size)
    local list = {}
    for i = 1, size do
        list[i] = i
    end
    return list
end, 10, 100000000))
--- response_body
not enough memory
--- no_error_log
[alert]



=== TEST 6: the same error many times, and the worker serves on
--- lua
local thrown = require "testing.thrown"
thrown.limit_memory()
local text = ("x"):rep(100)
local caught = 0
for _ = 1, 1000 do
    local message = thrown.message(function(size) return text:rep(size) end, 10, 6000000)
    caught = caught + (message == "not enough memory" and 1 or 0)
end
ngx.say(caught)
--- response_body
1000
--- no_error_log
[alert]
