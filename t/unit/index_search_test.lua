local ffi = require "ffi"
local luaunit = require "luaunit"
local search = require "gateway.index.search"

local equals = luaunit.assertEquals

-- The result of search.of for these prefixes and this path.
local function found(prefixes, path)
    local text, starts = table.concat(prefixes), ffi.new("uint32_t[?]", #prefixes + 2)
    local start = 0
    for i = 1, #prefixes do
        starts[i] = start
        start = start + #prefixes[i]
    end
    starts[#prefixes + 1] = start
    local bytes = ffi.new("uint8_t[?]", #text)
    ffi.copy(bytes, text, #text)
    return search.of(#prefixes)(bytes, starts, #prefixes, path)
end

-- The same, one after the other: a prefix of the path is not above it, nor is what sorts before the path.
local function walked(prefixes, path)
    local last = 0
    for i = 1, #prefixes do
        if path:sub(1, #prefixes[i]) == prefixes[i] or prefixes[i] < path then
            last = i
        end
    end
    return last
end


local TestSearch = {}

function TestSearch.test_any_number_of_prefixes_and_every_place_among_them()
    local prefixes = {}
    for count = 0, 70 do
        for i = 0, count + 1 do
            for _, end_of_path in ipairs({ "", "/x", "\255" }) do
                local path = ("/%03d"):format(i) .. end_of_path
                equals({ count, path, found(prefixes, path) }, { count, path, walked(prefixes, path) })
            end
        end
        prefixes[count + 1] = ("/%03d"):format(count + 1)
    end
end

function TestSearch.test_prefixes_of_each_other_and_bytes_of_any_value()
    local prefixes = { "/", "/a", "/a/", "/a/b", "/aa", "/b", "/\127", "/\128", "/\255", "/\255\255" }
    for _, path in ipairs({
        "", "/", "/a", "/a/b/c", "/a/a", "/a0", "/ab", "/aab", "/\127\1", "/\129", "/\255\254", "/\255\255\255", "0",
    }) do
        equals({ path, found(prefixes, path) }, { path, walked(prefixes, path) })
    end
end


return { TestSearch = TestSearch }
