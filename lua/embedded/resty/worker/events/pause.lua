--- A pause of some seconds that works in every phase: where `ngx.sleep` throws, the whole process waits.

local ffi = require "ffi"

local C = ffi.C
local now = ngx.now
local pcall = pcall
local sleep = ngx.sleep
local update_time = ngx.update_time

-- Another module may have declared it, with other names for the same types.
pcall(ffi.cdef, "int usleep(unsigned int microseconds);")


-- The clock of nginx stands still while Lua runs, so it has to be set here.
local function block(seconds)
    update_time()
    local deadline = now() + seconds
    repeat
        C.usleep(1000)
        update_time()
    until now() >= deadline
end


return function(seconds)
    if not pcall(sleep, seconds) then
        block(seconds)
    end
end
