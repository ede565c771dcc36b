--- A Lua value as the text that the shared dictionary keeps, and back.
--
--     at (double) | ttl (double) | kind (1 byte) | payload
--
-- `at` is the time of writing and `ttl` the seconds to live (0: for ever): the rest can be computed without the
-- dictionary, also after it ran out. The numbers are in the machine's own order: shared memory does not travel.

local cjson = require "cjson.safe"
local ffi = require "ffi"

local byte = string.byte
local ffi_copy = ffi.copy
local ffi_string = ffi.string
local floor = math.floor
local json_decode = cjson.decode
local json_encode = cjson.encode
local now = ngx.now
local sub = string.sub
local type = type

local header_type = ffi.typeof("struct __attribute__((packed)) { double at; double ttl; uint8_t kind; }")
local HEADER_SIZE = ffi.sizeof(header_type)
local NUMBER_SIZE = ffi.sizeof("double")

local NIL = 0
local NUMBER = 1
local BOOLEAN = 2
local STRING = 3
local TABLE = 4

local KINDS = {
    ["nil"] = NIL,
    ["number"] = NUMBER,
    ["boolean"] = BOOLEAN,
    ["string"] = STRING,
    ["table"] = TABLE,
}

-- Reused by every call: neither function yields between writing and reading them.
local header = header_type()
local number = ffi.new("double[1]")

local function encode_payload(value, kind)
    if kind == STRING then
        return value
    end

    if kind == NUMBER then
        number[0] = value
        return ffi_string(number, NUMBER_SIZE)
    end

    if kind == BOOLEAN then
        return value and "1" or "0"
    end

    if kind == NIL then
        return ""
    end

    local text, err = json_encode(value)
    if not text then
        return nil, "could not encode table value: " .. err
    end

    return text
end

local function decode_payload(text, kind)
    if kind == STRING then
        return sub(text, HEADER_SIZE + 1)
    end

    if kind == NUMBER and #text == HEADER_SIZE + NUMBER_SIZE then
        ffi_copy(number, sub(text, HEADER_SIZE + 1), NUMBER_SIZE)
        return number[0]
    end

    if kind == BOOLEAN then
        return byte(text, HEADER_SIZE + 1) == 49
    end

    if kind == NIL then
        return nil
    end

    local value, err = json_decode(sub(text, HEADER_SIZE + 1))
    if value == nil then
        return nil, "could not decode table value: " .. err
    end

    return value
end

local _M = {}

--- Can a value of this type be cached?
function _M.supports(value)
    return KINDS[type(value)] ~= nil
end

--- Returns the text of `value` (of a supported type), which lives `ttl` seconds from now, or nil and an error.
function _M.encode(value, ttl)
    local kind = KINDS[type(value)]
    local payload, err = encode_payload(value, kind)
    if not payload then
        return nil, err
    end

    header.at = now()
    header.ttl = ttl
    header.kind = kind

    return ffi_string(header, HEADER_SIZE) .. payload
end

--- Returns value, error, seconds that remain (negative: it ran out so long ago, or was written then when ttl is 0), ttl.
function _M.decode(text)
    if type(text) ~= "string" or #text < HEADER_SIZE then
        return nil, "could not decode value: not written by this library"
    end

    ffi_copy(header, text, HEADER_SIZE)

    local ttl = header.ttl
    -- In whole milliseconds, the resolution of the clock: differences of such doubles are off by less.
    local remaining = floor((ttl - (now() - header.at)) * 1000 + 0.5) / 1000
    local value, err = decode_payload(text, header.kind)

    return value, err, remaining, ttl
end

return _M
