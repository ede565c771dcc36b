--- Consistent hash: the same client address goes to the same peer, and few clients move when the peers change.

local chash = require "resty.chash"
local peers_of = require "gateway.balancers.peers"

local floor = math.floor
local max = math.max
local min = math.min
local setmetatable = setmetatable

-- The ring has this many points for each unit of weight, so that weights in the thousands would make it very large, and so would
-- those of hundreds of peers together. 10000 units are 13 MB in each worker.
local POINTS = 160
local MOST_WEIGHT = 100
local MOST_UNITS = 10000

local _M = {}
local mt = { __index = _M }


--- @param group a Group
-- @return balancer
function _M.new(group)
    local most = max(1, min(MOST_WEIGHT, floor(MOST_UNITS / #group.peers)))
    local by_id, weights, count, total = peers_of(group, most)
    return setmetatable({
        by_id = by_id,
        peer_count = count,
        single = count == 1 and by_id[next(by_id)] or nil,
        picker = count > 1 and chash:new(weights) or nil,
        points = total * POINTS,
    }, mt)
end


--- The peer of a key.
-- @param context as in `gateway.balancers`; `context.point` keeps the place on the ring for a retry
-- @return peer, or nil when the group has none
function _M:pick_key(key, context)
    local peer = self.single
    if not peer and self.picker then
        local id, point = self.picker:find(key)
        peer = self.by_id[id]
        context.point = point
    end
    context.peer = peer
    return peer
end


--- The peer of the client's address.
function _M:pick(context)
    return self:pick_key(context.request:source() or "", context)
end


--- The next other peer on the ring after the one that was picked; that one again when there is no other.
function _M:pick_other(context)
    local previous, point = context.peer, context.point
    if not self.picker or not point then
        return previous or self.single
    end
    -- The ring's neighbours often belong to the same peer.
    for _ = 1, self.points do
        local id
        id, point = self.picker:next(point)
        local peer = self.by_id[id]
        if peer ~= previous then
            context.point, context.peer = point, peer
            return peer
        end
    end
    return previous
end


return _M
