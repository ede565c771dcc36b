--- Where the members of a list lie in the policy's content: their texts and fingerprints, without a string or table for each.
--
-- Members are counted from 1. Like all that points into the content this ends when the content is released; `count` stays.

local digest = require "gateway.digest"

local of_bytes = digest.of_bytes
local setmetatable = setmetatable

local _M = {}
local mt = { __index = _M }


--- No members yet.
-- @param content as from `gateway.content`
function _M.new(content)
    return setmetatable({ content = content, count = 0 }, mt)
end


--- Puts a member at place i, which is one of those that are taken or the next one.
-- @param from position of its first byte, from 0
-- @param behind position behind its last byte
function _M:put(i, from, behind)
    self[2 * i - 1] = from
    self[2 * i] = behind
    if i > self.count then
        self.count = i
    end
end


--- The text of member i.
function _M:text(i)
    local from = self[2 * i - 1]
    return self.content:text(from, self[2 * i] - from)
end


--- The fingerprint of member i's text.
function _M:digest(i)
    local from = self[2 * i - 1]
    return of_bytes(self.content.bytes + from, self[2 * i] - from)
end


return _M
