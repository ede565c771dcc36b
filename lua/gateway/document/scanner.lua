--- Reads over JSON text (RFC 8259) without decoding it: finds where each value ends, and checks the grammar on its way.
--
-- Positions count bytes from 0. A function that reads takes the position where its subject begins and returns the position
-- behind it. An error raises a table { at = position, message = text, message_at_end = text or nil }, for which `place`
-- finds line and column; message_at_end stands for the message when `at` is where the text ends.
-- UTF-8 is not checked, nor are halves of surrogate pairs.

local ffi = require "ffi"

local byte = string.byte
local char = string.char
local find = string.find
local format = string.format

local QUOTE, BACKSLASH, COMMA, COLON, MINUS, ZERO, DOT = byte('"\\,:-0.', 1, 7)
local OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET = byte("{}[", 1, 3)
local NUL = 0
local LOWER_U, LOWER_E, UPPER_E, PLUS = byte("ueE+", 1, 4)
local NEWLINE = byte("\n")

local DEEPEST = 256            -- the decoder that reads the parts later stops at 1000
local PAUSE_EVERY = 256 * 1024

-- Classes of bytes. The NUL behind the text is in none, so that no loop over a class has to look for the end.
local function class(pattern)
    local members = ffi.new("uint8_t[256]")
    for c = 0, 255 do
        members[c] = find(char(c), pattern) and 1 or 0
    end
    return members
end

local SPACE = class("^[ \t\r\n]$")
local PLAIN = class('^[^%c"\\]$')
PLAIN[127] = 1  -- a control character to C, but not to JSON
local ESCAPE = class('^["\\/bfnrtu]$')
local HEX = class("^%x$")
local DIGIT = class("^%d$")

local LITERALS = { [byte("t")] = "true", [byte("f")] = "false", [byte("n")] = "null" }
local LOWER_N = byte("n")

local function fail(at, message, ...)
    error({ at = at, message = format(message, ...) }, 0)
end

local function skip_space(bytes, i)
    while SPACE[bytes[i]] ~= 0 do
        i = i + 1
    end
    return i
end

-- The NUL behind the text stops a string too.
local function fail_in_string(at, message)
    error({ at = at, message = message, message_at_end = "a string is not closed" }, 0)
end

local function skip_escape(bytes, i)
    local c = bytes[i + 1]
    if ESCAPE[c] == 0 then
        fail_in_string(c == NUL and i + 1 or i, "unknown escape in a string")
    end
    if c ~= LOWER_U then
        return i + 2
    end
    for digit = i + 2, i + 5 do
        if HEX[bytes[digit]] == 0 then
            fail_in_string(bytes[digit] == NUL and digit or i, "\\u takes four hexadecimal digits")
        end
    end
    return i + 6
end

local function skip_string(bytes, i)
    i = i + 1
    while true do
        while PLAIN[bytes[i]] ~= 0 do
            i = i + 1
        end
        local c = bytes[i]
        if c == QUOTE then
            return i + 1
        end
        if c ~= BACKSLASH then
            fail_in_string(i, format("control character 0x%02x in a string", c))
        end
        i = skip_escape(bytes, i)
    end
end

local function skip_digits(bytes, i)
    if DIGIT[bytes[i]] == 0 then
        fail(i, "a digit is missing in a number")
    end
    while DIGIT[bytes[i]] ~= 0 do
        i = i + 1
    end
    return i
end

local function skip_number(bytes, i)
    if bytes[i] == MINUS then
        i = i + 1
    end
    if bytes[i] == ZERO and DIGIT[bytes[i + 1]] ~= 0 then
        fail(i, "a number begins with a needless zero")
    end
    i = skip_digits(bytes, i)
    if bytes[i] == DOT then
        i = skip_digits(bytes, i + 1)
    end
    if bytes[i] == LOWER_E or bytes[i] == UPPER_E then
        i = i + 1
        if bytes[i] == PLUS or bytes[i] == MINUS then
            i = i + 1
        end
        i = skip_digits(bytes, i)
    end
    return i
end

-- true, false, null
local function skip_literal(bytes, i)
    local literal = LITERALS[bytes[i]]
    if not literal then
        fail(i, "a value is missing")
    end
    for k = 1, #literal do
        local c = bytes[i + k - 1]
        if c ~= byte(literal, k) then
            fail(c == NUL and i + k - 1 or i, "a value is missing")
        end
    end
    return i + #literal
end

local function skip_scalar(bytes, i)
    local c = bytes[i]
    if c == QUOTE then
        return skip_string(bytes, i)
    end
    if c == MINUS or DIGIT[c] ~= 0 then
        return skip_number(bytes, i)
    end
    return skip_literal(bytes, i)
end

-- A member's name with its colon, up to its value.
local function skip_name(bytes, i)
    if bytes[i] ~= QUOTE then
        fail(i, "a member's name in double quotes is missing")
    end
    i = skip_space(bytes, skip_string(bytes, i))
    if bytes[i] ~= COLON then
        fail(i, "':' is missing behind a member's name")
    end
    return skip_space(bytes, i + 1)
end

-- Behind an element of the container that `opening` began: at its next element (or name), or, with true, behind its end.
local function step(bytes, i, opening)
    i = skip_space(bytes, i)
    local c = bytes[i]
    if c == COMMA then
        return skip_space(bytes, i + 1), false
    end
    if c ~= opening + 2 then  -- "}" and "]" are two behind "{" and "["
        fail(i, "',' or '%s' is missing", char(opening + 2))
    end
    return i + 1, true
end


local _M = {}
local mt = { __index = _M }


--- content: the document, as from `gateway.content`. pause: called about every 256 KiB between two values, so that the caller
-- can let others work.
function _M.new(content, pause)
    return setmetatable({
        content = content,
        bytes = content.bytes,
        open = ffi.new("uint8_t[?]", DEEPEST + 1),  -- by depth, the brace or bracket that is open
        pause = pause,
        pause_at = pause and PAUSE_EVERY or math.huge,
    }, mt)
end


--- Raises an error at position i.
_M.fail = fail


function _M:skip_space(i)
    return skip_space(self.bytes, i)
end


--- Reads over one value of any kind.
function _M:skip_value(i)
    local bytes, open, depth = self.bytes, self.open, 0
    repeat
        if i >= self.pause_at then
            self.pause_at = i + PAUSE_EVERY
            self.pause()
        end
        local c, ended = bytes[i], true
        if c == OPEN_BRACE or c == OPEN_BRACKET then
            depth = depth + 1
            if depth > DEEPEST then
                fail(i, "nested deeper than %d", DEEPEST)
            end
            open[depth] = c
            i = skip_space(bytes, i + 1)
            ended = bytes[i] == c + 2
            if ended then
                i, depth = i + 1, depth - 1
            elseif c == OPEN_BRACE then
                i = skip_name(bytes, i)
            end
        else
            i = skip_scalar(bytes, i)
        end
        while ended and depth > 0 do
            i, ended = step(bytes, i, open[depth])
            if ended then
                depth = depth - 1
            elseif open[depth] == OPEN_BRACE then
                i = skip_name(bytes, i)
            end
        end
    until depth == 0
    return i
end


function _M:is_object(i)
    return self.bytes[i] == OPEN_BRACE
end


function _M:is_list(i)
    return self.bytes[i] == OPEN_BRACKET
end


function _M:is_null(i)
    return self.bytes[i] == LOWER_N
end


--- Reads the object at i. visit(name as it is written, position of the value) returns the position behind the value.
function _M:each_member(i, visit)
    local bytes, content = self.bytes, self.content
    i = skip_space(bytes, i + 1)
    if bytes[i] == CLOSE_BRACE then
        return i + 1
    end
    local ended = false
    while not ended do
        local value = skip_name(bytes, i)
        local name = content:text(i + 1, skip_string(bytes, i) - i - 2)
        i, ended = step(bytes, visit(name, value), OPEN_BRACE)
    end
    return i
end


--- Reads the list at i. visit(index from 0, position of the element) returns the position behind the element.
function _M:each_element(i, visit)
    local bytes = self.bytes
    i = skip_space(bytes, i + 1)
    if bytes[i] == OPEN_BRACKET + 2 then
        return i + 1
    end
    local index, ended = 0, false
    while not ended do
        i, ended = step(bytes, visit(index, i), OPEN_BRACKET)
        index = index + 1
    end
    return i
end


--- "line L, column C" of position i, both from 1, columns in bytes.
function _M:place(i)
    local bytes, line, start = self.bytes, 1, 0
    for at = 0, i - 1 do
        if bytes[at] == NEWLINE then
            line, start = line + 1, at + 1
        end
    end
    return format("line %d, column %d", line, i - start + 1)
end


return _M
