--- What the pickers want of a group's peers: the peers by id, and their weights by id.

local ipairs = ipairs
local max = math.max


--- @param group a Group
-- @param most the largest weight to hand on, or nil; larger ones are scaled down together, none below 1
-- @return peers by id, weights by id, number of peers that take traffic
return function(group, most)
    local heaviest = 0
    for _, peer in ipairs(group.peers) do
        heaviest = max(heaviest, peer.weight)
    end
    local scale = most and heaviest > most and most / heaviest or 1
    local by_id, weights, count = {}, {}, 0
    for _, peer in ipairs(group.peers) do
        if peer.weight > 0 then
            by_id[peer.id] = peer
            weights[peer.id] = scale == 1 and peer.weight or max(1, math.floor(peer.weight * scale + 0.5))
            count = count + 1
        end
    end
    return by_id, weights, count
end
