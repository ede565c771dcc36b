--- Fingerprints of texts and of bytes that are no Lua string: MD5, in 22 characters that are safe in a URL.
--
-- Computed by nginx's own functions, which take bytes from anywhere, so that nothing has to become a string only to be looked
-- up. A fingerprint is no signature: a writer of the policy file needs no two texts with the same one.

local bit = require "bit"
local ffi = require "ffi"

local C = ffi.C
local band = bit.band
local lshift = bit.lshift
local rshift = bit.rshift
local cast = ffi.cast
local setmetatable = setmetatable
local to_hex = require("resty.string").to_hex
local to_string = ffi.string

pcall(ffi.cdef, "void ngx_md5_init(void *state);")
pcall(ffi.cdef, "void ngx_md5_update(void *state, const void *data, size_t size);")
pcall(ffi.cdef, "void ngx_md5_final(unsigned char result[16], void *state);")

-- nginx's ngx_md5_t takes 88 bytes.
local STATE = ffi.typeof("uint64_t[16]")
local SIZE, LENGTH = 16, 22

local LETTERS = ffi.new("uint8_t[65]", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

local state = STATE()
local result = ffi.new("uint8_t[?]", SIZE)
local letters = ffi.new("uint8_t[?]", LENGTH)


-- The text of what is in `result`: five times three bytes as four letters, and two letters for the last byte.
local function encode()
    local at = 0
    for i = 0, SIZE - 2, 3 do
        local bits = lshift(result[i], 16) + lshift(result[i + 1], 8) + result[i + 2]
        letters[at] = LETTERS[rshift(bits, 18)]
        letters[at + 1] = LETTERS[band(rshift(bits, 12), 63)]
        letters[at + 2] = LETTERS[band(rshift(bits, 6), 63)]
        letters[at + 3] = LETTERS[band(bits, 63)]
        at = at + 4
    end
    local last = result[SIZE - 1]
    letters[at] = LETTERS[rshift(last, 2)]
    letters[at + 1] = LETTERS[band(lshift(last, 4), 63)]
    return to_string(letters, LENGTH)
end


local _M = {}
local mt = { __index = _M }


--- The fingerprint of bytes.
-- @param bytes pointer to the first
-- @param length how many
function _M.of_bytes(bytes, length)
    C.ngx_md5_init(state)
    C.ngx_md5_update(state, bytes, length)
    C.ngx_md5_final(result, state)
    return encode()
end


--- The fingerprint of a text.
function _M.of(text)
    return _M.of_bytes(cast("const uint8_t *", text), #text)
end


--- A fingerprint that is computed piece by piece, so that others can run in between.
function _M.new()
    local self = setmetatable({ state = STATE() }, mt)
    C.ngx_md5_init(self.state)
    return self
end


--- Adds the next piece.
function _M:update(bytes, length)
    C.ngx_md5_update(self.state, bytes, length)
end


--- The fingerprint of all pieces as `md5sum` writes it, in 32 hexadecimal digits; nothing can be added any more.
function _M:hex()
    C.ngx_md5_final(result, self.state)
    return to_hex(to_string(result, SIZE))
end


return _M
