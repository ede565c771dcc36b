local content_of = require "content_of"
local contents = require "gateway.content"
local luaunit = require "luaunit"
local spans = require "gateway.document.spans"

local equals = luaunit.assertEquals

local MEGABYTE = 1024 * 1024

-- Bytes of memory that this process has.
local function resident()
    local file = assert(io.open("/proc/self/statm"))
    local pages = file:read("*a"):match("^%d+ (%d+)")
    file:close()
    return pages * 4096
end

-- So many megabytes, all of them touched.
local function touched(count)
    local content = assert(contents.new(count * MEGABYTE))
    for at = 0, content.length - 1, 4096 do
        content.bytes[at] = 1
    end
    return content
end


local TestContent = {}

function TestContent.test_a_nul_stands_behind_the_bytes()
    for _, length in ipairs({ 1, 4095, 4096, 4097, 100000 }) do
        local content = content_of(("x"):rep(length))
        equals({ content.length, content.bytes[length - 1], content.bytes[length] }, { length, 0x78, 0 })
        content:release()
    end
end

function TestContent.test_texts_of_parts()
    local content = content_of("abc\0def")
    equals({ content:text(), content:text(2), content:text(2, 3), content:text(7), content:text(3, 0) },
           { "abc\0def", "c\0def", "c\0d", "", "" })
end

function TestContent.test_what_was_released_cannot_be_read()
    local content = content_of("abc")
    content:release()
    luaunit.assertErrorMsgContains("attempt to perform arithmetic on field 'bytes'", content.text, content)
    content:release()
end

function TestContent.test_the_memory_is_not_luas_and_goes_back_at_once()
    collectgarbage()
    collectgarbage("stop")
    local lua, before = collectgarbage("count"), resident()
    local content = touched(32)
    local during = resident()
    content:release()
    local after = resident()
    collectgarbage("restart")
    luaunit.assertTrue(collectgarbage("count") - lua < 100)
    luaunit.assertTrue(during - before > 31 * MEGABYTE)
    luaunit.assertTrue(after - before < MEGABYTE)
end

function TestContent.test_what_was_forgotten_goes_back_with_the_garbage()
    local before = resident()
    pcall(function()
        touched(32)
        error("before the release")
    end)
    collectgarbage()
    collectgarbage()
    luaunit.assertTrue(resident() - before < MEGABYTE)
end

function TestContent.test_more_than_there_is()
    local content, err = contents.new(2 ^ 46)
    equals(content, nil)
    luaunit.assertStrContains(err, "no memory for 70368744177664 bytes: ")
end


local TestSpans = {}

function TestSpans.test_members_by_their_places()
    local found = spans.new(content_of("{one}, {two}"))
    equals(found.count, 0)
    found:put(1, 0, 5)
    found:put(2, 7, 12)
    equals({ found.count, found:text(1), found:text(2) }, { 2, "{one}", "{two}" })
    found:put(1, 7, 12)
    equals({ found.count, found:text(1), found:text(2) }, { 2, "{two}", "{two}" })
end

function TestSpans.test_digests_are_those_of_the_texts()
    local found = spans.new(content_of("{one}, {two}"))
    found:put(1, 0, 5)
    found:put(2, 7, 12)
    for i = 1, 2 do
        equals(found:digest(i), require("gateway.digest").of(found:text(i)))
    end
end

function TestSpans.test_nothing_is_read_once_the_content_was_released()
    local content = content_of("{one}")
    local found = spans.new(content)
    found:put(1, 0, 5)
    content:release()
    equals({ found.count, pcall(found.text, found, 1) == false, pcall(found.digest, found, 1) == false }, { 1, true, true })
end


return { TestContent = TestContent, TestSpans = TestSpans }
