--- Errors that C throws below compiled Lua code.

local ffi = require "ffi"

ffi.cdef [[
struct testing_rlimit { unsigned long soft, hard; };
int setrlimit(int resource, const struct testing_rlimit *limit);
]]

local RLIMIT_AS = 9 -- asm-generic/resource.h
local PAGE = 4096
-- Bytes that this process may still allocate: more than that fails at once, and its memory is never touched.
local LEFT = 400000000
-- Calls until the loop is compiled, and more.
local CALLS = 200

local _M = {
    -- what the last call gave
    kept = nil,
}


--- Let every further large allocation of this worker fail.
function _M.limit_memory()
    local file = assert(io.open("/proc/self/statm"))
    local used = file:read("*n") * PAGE
    file:close()
    local limit = ffi.new("struct testing_rlimit", used + LEFT, used + LEFT)
    assert(ffi.C.setrlimit(RLIMIT_AS, limit) == 0)
end


--- The message of the error that `call(bad)` throws in a loop that was compiled with `call(fine)`, without its position.
--- No condition tells the two apart, and every result is kept: compiled code itself makes the call that fails.
function _M.message(call, fine, bad)
    local arguments = {}
    for i = 1, CALLS do
        arguments[i] = fine
    end
    local function loop()
        for i = 1, CALLS do
            _M.kept = call(arguments[i])
        end
    end
    loop()
    arguments[CALLS] = bad
    local ok, message = pcall(loop)
    return ok and "no error" or (tostring(message):gsub("^[^ ]*:%d+: ", ""))
end


return _M
