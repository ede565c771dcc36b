--- A group's peers as the pickers want them: the peers by id, and their weights by id.

local floor = math.floor
local ipairs = ipairs
local max = math.max


local function common_divisor(a, b)
    while b ~= 0 do
        a, b = b, a % b
    end
    return a
end


-- The divisor of weights by which they stay as small as they can, and at most `most`.
local function divisor_of(peers, most)
    local divisor, heaviest = 0, 0
    for _, peer in ipairs(peers) do
        divisor = common_divisor(divisor, peer.weight)
        heaviest = max(heaviest, peer.weight)
    end
    return max(divisor, heaviest / most, 1)
end


--- @param group a Group
-- @param most the largest weight to hand on, or nil for any; larger ones are scaled down together, none below 1
-- @return peers by id, weights by id, number of peers that take traffic, sum of the weights
return function(group, most)
    local divisor = divisor_of(group.peers, most or math.huge)
    local by_id, weights, count, total = {}, {}, 0, 0
    for _, peer in ipairs(group.peers) do
        if peer.weight > 0 then
            local weight = max(1, floor(peer.weight / divisor + 0.5))
            by_id[peer.id], weights[peer.id] = peer, weight
            count, total = count + 1, total + weight
        end
    end
    return by_id, weights, count, total
end
