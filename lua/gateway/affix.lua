--- Whether a text begins or ends with another one, without making a text of the part: that would cost an entry in LuaJIT's table
-- of texts, which is large when the policy is.

local ffi = require "ffi"

local C = ffi.C
local cast = ffi.cast

pcall(ffi.cdef, "int memcmp(const void *a, const void *b, size_t size);")

local BYTES = ffi.typeof("const uint8_t *")


local _M = {}


function _M.begins_with(text, prefix)
    local length = #prefix
    return #text >= length and C.memcmp(text, prefix, length) == 0
end


function _M.ends_with(text, suffix)
    local length = #suffix
    local before = #text - length
    return before >= 0 and C.memcmp(cast(BYTES, text) + before, suffix, length) == 0
end


return _M
