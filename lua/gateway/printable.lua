--- A text of the policy as it may stand in one line of a log: control characters as "\x0a", the rest of a long text as "...".

local byte = string.byte
local format = string.format
local gsub = string.gsub
local sub = string.sub

local LONGEST = 200

local function escape(c)
    return format("\\x%02x", byte(c))
end


return function(text)
    if #text > LONGEST then
        text = sub(text, 1, LONGEST) .. "..."
    end
    return (gsub(text, "[%z\1-\31\127]", escape))
end
