--- The pickers of this worker: one balancer for each backend group in force, kept for as long as its group stays the same.
--
-- `find` compares the identity of `caches.groups()` with what it saw last, so a new policy is noticed by the next request;
-- a balancer is made when its group is first asked for and thrown away when the group changes or vanishes. A group that did
-- not change (`gateway.assembly` gives the same table again) keeps its balancer, and so its place in the round and its points
-- on the ring.
--
-- A balancer is asked with a *context*, the table that one request keeps:
--
--     context.request     read   the Request (methods source, header, cookie), by consistent hash and stickiness
--     context.peer        written: the peer that was picked last { id, address, port, weight }
--     context.tried       written: peer -> true, those that `pick_other` does not pick any more; nil before the first failure
--     context.set_cookie  written: { name, value } when the client must be given a cookie to stick by
--
-- `find` may yield, so it belongs into the rewrite, access or preread phase; `pick` and `pick_other` never do.

local caches = require "gateway.caches"
local consistent_hash = require "gateway.balancers.consistent_hash"
local round_robin = require "gateway.balancers.round_robin"
local sticky = require "gateway.balancers.sticky"

local groups_in_force = caches.groups
local pairs = pairs

local KINDS = {
    ["sip-hash"] = consistent_hash,
    cookie = sticky,
    header = sticky,
}

local seen
local balancers = {}


-- Throws away the balancers whose group changed or vanished.
local function sweep(groups)
    for name, balancer in pairs(balancers) do
        local group = groups and groups.by_name[name]
        if not group or group ~= balancer.group then
            balancers[name] = nil
        end
    end
    seen = groups
end


local function new_balancer(group)
    local kind = KINDS[group.affinity] or round_robin
    local balancer = kind.new(group)
    balancer.group = group
    balancer.mode = group.mode
    balancer.name = group.name
    return balancer
end


local _M = {}


--- Takes the groups in force; called each policy_interval by every worker so that one without requests does not keep old groups.
-- @return the groups, or nil and why there are none
function _M.refresh()
    local groups, err = groups_in_force()
    if err then
        return nil, err
    end
    if groups ~= seen then
        sweep(groups)
    end
    return groups
end


--- The balancer of a group.
-- @param name of the group
-- @return balancer with the fields `name`, `mode`, `peer_count` and the methods below; or nil when there is no such group; or
--         nil, err. Third value: the level that the groups came from
--
--     balancer:pick(context)        -> peer, or nil when the group has no peer that takes traffic
--     balancer:pick_other(context)  -> a peer that is not in context.tried, or context.peer when there is none;
--                                      nil when the group has none
--
-- Peers that are out (`gateway.health`) are passed over as long as any other is there.
function _M.find(name)
    local groups, err, level = groups_in_force()
    if groups ~= seen and not err then
        sweep(groups)
    end
    local balancer = balancers[name]
    if balancer then
        return balancer, nil, level
    end
    local group = groups and groups.by_name[name]
    if not group then
        return nil, err, level
    end
    balancer = new_balancer(group)
    balancers[name] = balancer
    return balancer, nil, level
end


return _M
