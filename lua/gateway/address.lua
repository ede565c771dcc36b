--- IP addresses as text: IPv4 in dotted decimals, IPv6 in any spelling of RFC 4291, brackets around IPv6 allowed.
--
-- A key is a string of 16 bytes; keys of one family compare (`<`, `==`) as their addresses do. An IPv4 address and the same
-- address mapped into IPv6 (`::ffff:10.0.0.1`, as a dual-stack socket reports its peers) have the same key and are family 4.
-- Zone ids (`fe80::1%eth0`), leading zeros (`010.0.0.1`, which some read as octal) and anything with a port are no addresses.

local ffi = require "ffi"

local byte = string.byte
local char = string.char
local lower = string.lower
local match = string.match
local max = math.max
local min = math.min
local ffi_fill = ffi.fill
local ffi_copy = ffi.copy
local ffi_string = ffi.string

local ZERO, NINE, DOT, COLON = byte("0"), byte("9"), byte("."), byte(":")
local OPEN, CLOSE = byte("["), byte("]")

local HEX = {}  -- by byte, the value of a hexadecimal digit
for value = 0, 15 do
    local digit = string.format("%x", value)
    HEX[byte(digit)] = value
    HEX[byte(digit:upper())] = value
end

-- One address at a time is taken apart here; nothing yields in between.
local octets = ffi.new("uint8_t[16]")
local tail = ffi.new("uint8_t[16]")

-- Writes the four octets of text[from..to] at octets[at]; false when that is no IPv4 address.
local function read_v4(text, from, to, at)
    local value, digits, dots = 0, 0, 0
    for i = from, to do
        local c = byte(text, i)
        if c == DOT then
            if digits == 0 or dots == 3 then
                return false
            end
            octets[at + dots] = value
            value, digits, dots = 0, 0, dots + 1
        elseif c < ZERO or c > NINE or (digits > 0 and value == 0) then
            return false
        else
            value, digits = value * 10 + c - ZERO, digits + 1
            if value > 255 then
                return false
            end
        end
    end
    octets[at + 3] = value
    return dots == 3 and digits > 0
end

local function write_group(at, value)
    octets[at] = (value - value % 256) / 256
    octets[at + 1] = value % 256
end

-- Moves what was written behind the "::" to the end. False when the "::" would stand for nothing.
local function spread(gap, at)
    if not gap then
        return at == 16
    end
    if at == 16 then
        return false
    end
    ffi_copy(tail, octets + gap, at - gap)
    ffi_fill(octets + gap, 16 - gap)
    ffi_copy(octets + (16 - at + gap), tail, at - gap)
    return true
end

-- Writes the 16 octets of text[from..to]; false when that is no IPv6 address. at: octets written so far; group: where the
-- group of digits began that is being read.
local function read_v6(text, from, to)
    local at, gap, value, digits, group = 0, nil, 0, 0, from
    local first = from
    if byte(text, from) == COLON then  -- a colon may lead only as half of "::"
        first = from + 1
        if first > to or byte(text, first) ~= COLON then
            return false
        end
    end
    for i = first, to do
        local c = byte(text, i)
        local hex = HEX[c]
        if hex then
            value, digits = value * 16 + hex, digits + 1
            if digits > 4 then
                return false
            end
        elseif c == COLON then
            if digits == 0 then
                if gap then
                    return false
                end
                gap = at
            elseif at > 14 or i == to then
                return false
            else
                write_group(at, value)
                at = at + 2
            end
            value, digits, group = 0, 0, i + 1
        elseif c == DOT then
            return at <= 12 and read_v4(text, group, to, at) and spread(gap, at + 4)
        else
            return false
        end
    end
    if digits > 0 then
        if at > 14 then
            return false
        end
        write_group(at, value)
        at = at + 2
    end
    return spread(gap, at)
end

local function mapped_family()
    for i = 0, 9 do
        if octets[i] ~= 0 then
            return 6
        end
    end
    return octets[10] == 255 and octets[11] == 255 and 4 or 6
end

local function is_v6(text)
    for i = 1, #text do
        if byte(text, i) == COLON then
            return true
        end
    end
    return false
end


local _M = {}


--- The key and the family (4 or 6) of an address, or nil when text is no address.
function _M.key(text)
    if is_v6(text) then
        local from, to = 1, #text
        if byte(text, 1) == OPEN then
            if byte(text, to) ~= CLOSE then
                return nil
            end
            from, to = 2, to - 1
        end
        if to < from or not read_v6(text, from, to) then
            return nil
        end
        return ffi_string(octets, 16), mapped_family()
    end
    if not read_v4(text, 1, #text, 12) then
        return nil
    end
    ffi_fill(octets, 10)
    octets[10], octets[11] = 255, 255
    return ffi_string(octets, 16), 4
end


-- The greatest key of the network that a key and so many leading bits name, and its least.
local function bounds(key, bits)
    local least, greatest = {}, {}
    for i = 1, 16 do
        local value, free = byte(key, i), 2 ^ max(0, min(8, 8 * i - bits))
        least[i] = value - value % free
        greatest[i] = least[i] + free - 1
    end
    return char(unpack(least)), char(unpack(greatest))
end


--- The network of a text like "10.0.0.0/8", "fd00::/8", or that of a single address.
-- @return { least, greatest (keys, both included), family }, or nil when text is no network
function _M.network(text)
    local plain, digits = match(text, "^([^/]+)/(%d+)$")
    local key, family = _M.key(plain or text)
    if not key then
        return nil
    end
    -- An IPv4 address stands in the last 32 bits of its key.
    local most = family == 4 and 32 or 128
    local bits = digits and tonumber(digits) or most
    if bits > most or digits and #digits > 3 then
        return nil
    end
    local least, greatest = bounds(key, bits + 128 - most)
    return { least = least, greatest = greatest, family = family }
end


--- The address as nginx wants it before ":port": IPv6 in lower case and in brackets. Nil when text is no address.
function _M.bracketed(text)
    if not _M.key(text) then
        return nil
    end
    if not is_v6(text) then
        return text
    end
    local plain = lower(text)
    return byte(plain, 1) == OPEN and plain or "[" .. plain .. "]"
end


return _M
