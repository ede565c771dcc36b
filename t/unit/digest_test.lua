local digest = require "gateway.digest"
local ffi = require "ffi"
local luaunit = require "luaunit"

local equals = luaunit.assertEquals

local LENGTHS = { 0, 1, 2, 3, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 4096, 100003 }

-- A text of so many bytes, of all values.
local function text_of(length)
    local bytes = {}
    for i = 1, length do
        bytes[i] = string.char((i * 7 + math.floor(i / 251)) % 256)
    end
    return table.concat(bytes)
end

-- The expected result of `of`, by other means.
local function expected(text)
    return (ngx.encode_base64(ngx.md5_bin(text), true):gsub("[+/]", { ["+"] = "-", ["/"] = "_" }))
end


local TestDigest = {}

function TestDigest.test_of_texts_of_all_lengths()
    for _, length in ipairs(LENGTHS) do
        local text = text_of(length)
        equals({ length, digest.of(text) }, { length, expected(text) })
    end
end

function TestDigest.test_all_letters_come_out_right()
    for i = 1, 2000 do
        local text = "text " .. i
        equals(digest.of(text), expected(text))
    end
end

function TestDigest.test_of_bytes_from_the_middle()
    local text = text_of(1000)
    local bytes = ffi.cast("const uint8_t *", text)
    for _, place in ipairs({ { 0, 1000 }, { 1, 64 }, { 7, 55 }, { 999, 1 }, { 500, 0 } }) do
        equals(digest.of_bytes(bytes + place[1], place[2]), expected(text:sub(place[1] + 1, place[1] + place[2])))
    end
end

function TestDigest.test_of_bytes_that_are_no_string()
    local bytes = ffi.new("uint8_t[?]", 300)
    ffi.fill(bytes, 300, 0x41)
    equals(digest.of_bytes(bytes, 300), expected(("A"):rep(300)))
end


local TestPieces = {}

-- The digest of a text that is given in pieces of the same length.
local function in_pieces(text, length)
    local bytes = ffi.cast("const uint8_t *", text)
    local made = digest.new()
    for at = 0, #text - 1, length do
        made:update(bytes + at, math.min(length, #text - at))
    end
    return made:hex()
end

function TestPieces.test_pieces_of_all_lengths_give_the_digest_of_the_whole()
    for _, length in ipairs(LENGTHS) do
        local text = text_of(length)
        for _, piece in ipairs({ 1, 3, 55, 56, 63, 64, 65, 1000, 65536 }) do
            equals({ length, piece, in_pieces(text, piece) }, { length, piece, ngx.md5(text) })
        end
    end
end

function TestPieces.test_two_at_a_time_and_others_in_between()
    local one, other = digest.new(), digest.new()
    one:update(ffi.cast("const uint8_t *", "ab"), 2)
    other:update(ffi.cast("const uint8_t *", "x"), 1)
    equals(digest.of("in between"), expected("in between"))
    one:update(ffi.cast("const uint8_t *", "c"), 1)
    equals({ one:hex(), other:hex() }, { ngx.md5("abc"), ngx.md5("x") })
end


return { TestDigest = TestDigest, TestPieces = TestPieces }
