--- Consistent hash: the same client address goes to the same peer, and few clients move when the peers change.

local chash = require "resty.chash"
local health = require "gateway.health"
local peers_of = require "gateway.balancers.peers"
local standing = require "gateway.balancers.standing"

local any = standing.any
local floor = math.floor
local is_fit = standing.is_fit
local max = math.max
local min = math.min
local setmetatable = setmetatable
local tried_of = standing.tried

-- The ring has this many points for each unit of weight, so that weights in the thousands would make it very large, and so would
-- those of hundreds of peers together. 10000 units are 13 MB in each worker.
local POINTS = 160
local MOST_WEIGHT = 100
local MOST_UNITS = 10000

local NONE = {}

local _M = {}
local mt = { __index = _M }


--- @param group a Group
-- @return balancer
function _M.new(group)
    local most = max(1, min(MOST_WEIGHT, floor(MOST_UNITS / #group.peers)))
    local by_id, weights, count, total = peers_of(group, most)
    return setmetatable({
        by_id = by_id,
        group_name = group.name,
        peer_count = count,
        single = count == 1 and by_id[next(by_id)] or nil,
        picker = count > 1 and chash:new(weights) or nil,
        points = total * POINTS,
    }, mt)
end


-- The next peer on the ring that is fit, and true; where none is, the next that was not tried; nil when all were. The ring's neighbours
-- often belong to the same peer.
local function next_on_ring(self, context, tried)
    local least, has_fit = any(self.group_name, self.by_id, tried)
    local point = context.point
    for _ = 1, least and self.points or 0 do
        local id
        id, point = self.picker:next(point)
        local peer = self.by_id[id]
        if has_fit and is_fit(self.group_name, peer, tried) or not has_fit and not tried[peer] then
            context.point = point
            return peer, has_fit
        end
    end
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
        if health.some and not is_fit(self.group_name, peer) then
            local other, found = next_on_ring(self, context, NONE)
            peer = found and other or peer
        end
    end
    context.peer = peer
    return peer
end


--- The peer of the client's address.
function _M:pick(context)
    return self:pick_key(context.request:source() or "", context)
end


--- The next peer on the ring that was not tried; the one that was picked again when there is none.
function _M:pick_other(context)
    local previous = context.peer
    if not self.picker or not context.point then
        return previous or self.single
    end
    local peer = next_on_ring(self, context, tried_of(context))
    peer = peer or previous
    context.peer = peer
    return peer
end


return _M
