local affix = require "gateway.affix"
local luaunit = require "luaunit"

local equals = luaunit.assertEquals

local PARTS = { "", "a", "ab", "abc", "b", "bc", "c", "\0", "a\0", "\0a", "\255", "abcd" }


local TestAffix = {}

function TestAffix.test_as_cutting_the_text_would()
    for _, text in ipairs(PARTS) do
        for _, part in ipairs(PARTS) do
            equals({ text, part, affix.begins_with(text, part) }, { text, part, text:sub(1, #part) == part })
            equals({ text, part, affix.ends_with(text, part) }, { text, part, part == "" or text:sub(-#part) == part })
        end
    end
end


return { TestAffix = TestAffix }
