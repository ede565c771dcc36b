--- Bytes outside Lua's heap: the content of a policy file while it is taken in.
--
-- A large file in Lua's heap would leave a worker as large as it was at its reading, because the heap gives back to the system
-- little of what it once had. This memory goes back at once when it is released, and no collection of garbage ever walks
-- through it. A NUL stands behind the bytes.
--
--     bytes     pointer to the first; nil once they were released, so that using them later is an error and no crash
--     length    how many

local ffi = require "ffi"

local C = ffi.C
local cast = ffi.cast
local errno = ffi.errno
local gc = ffi.gc
local setmetatable = setmetatable
local to_string = ffi.string

pcall(ffi.cdef, "void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);")
pcall(ffi.cdef, "int munmap(void *address, size_t length);")
pcall(ffi.cdef, "char *strerror(int number);")

local PROT_READ, PROT_WRITE = 1, 2
local MAP_PRIVATE, MAP_ANONYMOUS = 2, 0x20
local FAILED = cast("void *", -1)


local _M = {}
local mt = { __index = _M }


--- Room for so many bytes, all of them NUL.
-- @return content; or nil, err
function _M.new(length)
    local size = length + 1
    local start = C.mmap(nil, size, PROT_READ + PROT_WRITE, MAP_PRIVATE + MAP_ANONYMOUS, -1, 0)
    if start == FAILED then
        return nil, "no memory for " .. length .. " bytes: " .. to_string(C.strerror(errno()))
    end
    -- For those who throw an error on their way to `release`.
    local bytes = gc(cast("uint8_t *", start), function(pointer)
        C.munmap(pointer, size)
    end)
    return setmetatable({ bytes = bytes, length = length, size = size }, mt)
end


--- The text of some of the bytes.
-- @param at position of the first, from 0; default 0
-- @param length how many; default all from there on
function _M:text(at, length)
    at = at or 0
    return to_string(self.bytes + at, length or self.length - at)
end


--- Gives the memory back; nothing may be read any more.
function _M:release()
    local bytes = self.bytes
    if bytes then
        self.bytes = nil
        gc(bytes, nil)
        C.munmap(bytes, self.size)
    end
end


return _M
