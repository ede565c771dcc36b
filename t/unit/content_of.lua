-- A text as the content of a policy file.

local contents = require "gateway.content"
local ffi = require "ffi"

return function(text)
    local content = assert(contents.new(#text))
    ffi.copy(content.bytes, text, #text)
    return content
end
