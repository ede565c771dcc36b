--- Binary search among sorted prefixes without a loop and without a branch: LuaJIT translates a request's way through the gateway as
-- a whole if it meets no loop on it, and does not fall back at each turn that a search takes differently from the last one.
--
-- So there is a function for each number of steps, generated from text. Prefixes have no byte 0, so that the C library can compare
-- them with a path without reading beyond the path's end.

local bit = require "bit"
local concat = table.concat
local ffi = require "ffi"

pcall(ffi.cdef, "int strncmp(const void *a, const char *b, size_t size);")

local HEAD = [[
local C, arshift, band, min = ...
return function(bytes, starts, count, path)
    local low, middle, start = 0, 0, 0
]]

-- How far `low` goes is decided by the sign of what is compared: from 0 down, the prefix is not above the path.
local STEP = [[
    middle = min(low + %d, count)
    start = starts[middle]
    low = low + band(middle - low, arshift(C.strncmp(bytes + start, path, starts[middle + 1] - start) - 1, 31))
]]

local TAIL = [[
    return low
end
]]

local searches = {}


local function generate(steps)
    local text = { HEAD }
    for step = steps - 1, 0, -1 do
        text[#text + 1] = STEP:format(2 ^ step)
    end
    text[#text + 1] = TAIL
    return assert(loadstring(concat(text), "=search"))(ffi.C, bit.arshift, bit.band, math.min)
end


local _M = {}


--- The search among `count` prefixes: function(bytes, starts, count, path) -> number of the last prefix that is not above the path, 0 for
-- none.
-- @param count of prefixes, which are numbered from 1, lie one behind the other in bytes (uint8_t *), and begin at starts[number] and
--        end before starts[number + 1] (uint32_t *)
function _M.of(count)
    local steps = 0
    while 2 ^ steps <= count do
        steps = steps + 1
    end
    searches[steps] = searches[steps] or generate(steps)
    return searches[steps]
end


return _M
