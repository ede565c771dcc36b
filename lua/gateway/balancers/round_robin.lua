--- Weighted round robin over the peers of a group.

local roundrobin = require "resty.roundrobin"
local health = require "gateway.health"
local peers_of = require "gateway.balancers.peers"
local standing = require "gateway.balancers.standing"

local any = standing.any
local is_fit = standing.is_fit
local setmetatable = setmetatable
local tried_of = standing.tried

local _M = {}
local mt = { __index = _M }


--- @param group a Group
-- @return balancer
function _M.new(group)
    local by_id, weights, count = peers_of(group)
    return setmetatable({
        by_id = by_id,
        group_name = group.name,
        peer_count = count,
        single = count == 1 and by_id[next(by_id)] or nil,
        picker = count > 1 and roundrobin:new(weights) or nil,
        others = count > 1 and roundrobin:new(weights) or nil,
    }, mt)
end


-- The next of a round that is fit; where it holds a long run of others, any that is. Where none is, any that was not tried, and false.
local function next_fit(self, round, tried)
    for _ = 1, self.peer_count do
        local peer = self.by_id[round:find()]
        if is_fit(self.group_name, peer, tried) then
            return peer, true
        end
    end
    return any(self.group_name, self.by_id, tried)
end


--- The next peer in the round.
-- @return peer, or nil when the group has none
function _M:pick(context)
    local peer = self.single
    if not peer and self.picker then
        peer = self.by_id[self.picker:find()]
        if health.some and not is_fit(self.group_name, peer) then
            local other, found = next_fit(self, self.picker)
            peer = found and other or peer
        end
    end
    context.peer = peer
    return peer
end


--- A peer that was not tried; that one again when there is no other. Retries go round by themselves: were they to take steps of the
-- round, the request after a failure would begin at the failed peer again.
function _M:pick_other(context)
    if not self.others then
        return self:pick(context)
    end
    local peer = next_fit(self, self.others, tried_of(context))
    peer = peer or context.peer
    context.peer = peer
    return peer
end


return _M
