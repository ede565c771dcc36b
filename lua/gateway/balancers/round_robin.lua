--- Weighted round robin over the peers of a group.

local roundrobin = require "resty.roundrobin"
local peers_of = require "gateway.balancers.peers"

local setmetatable = setmetatable

local _M = {}
local mt = { __index = _M }


--- @param group a Group
-- @return balancer
function _M.new(group)
    local by_id, weights, count = peers_of(group)
    return setmetatable({
        by_id = by_id,
        peer_count = count,
        single = count == 1 and by_id[next(by_id)] or nil,
        picker = count > 1 and roundrobin:new(weights) or nil,
        others = count > 1 and roundrobin:new(weights) or nil,
    }, mt)
end


--- The next peer in the round.
-- @return peer, or nil when the group has none
function _M:pick(context)
    local peer = self.single
    if not peer and self.picker then
        peer = self.by_id[self.picker:find()]
    end
    context.peer = peer
    return peer
end


--- A peer that is not `context.peer`; that one again when there is no other. Retries go round by themselves: were they to take
--- steps of the round, the request after a failure would begin at the failed peer again.
function _M:pick_other(context)
    local previous = context.peer
    if not self.others then
        return self:pick(context)
    end
    -- One peer's weight bounds how often it can come in a row, but a heavy one may hold a long run: after as many tries as
    -- there are peers, any other will do.
    for _ = 1, self.peer_count do
        local peer = self.by_id[self.others:find()]
        if peer ~= previous then
            context.peer = peer
            return peer
        end
    end
    for _, peer in pairs(self.by_id) do
        if peer ~= previous then
            context.peer = peer
            return peer
        end
    end
    return previous
end


return _M
