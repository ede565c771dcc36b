--- Which peers of a group a balancer may pick.

local health = require "gateway.health"

local is_out = health.is_out
local pairs = pairs

local _M = {}


--- The peers that a request has tried, from now on with the one that it has.
-- @return peer -> true
function _M.tried(context)
    local tried = context.tried or {}
    context.tried = tried
    if context.peer then
        tried[context.peer] = true
    end
    return tried
end


--- Whether a peer is to be picked: not tried before by this request, and not out.
function _M.is_fit(group, peer, tried)
    return not (tried and tried[peer]) and not (health.some and is_out(group, peer))
end


--- Any peer that is fit; where there is none, any that was not tried; else nil.
-- @param by_id the peers of the group
function _M.any(group, by_id, tried)
    local untried
    for _, peer in pairs(by_id) do
        if _M.is_fit(group, peer, tried) then
            return peer, true
        end
        untried = untried or not (tried and tried[peer]) and peer or nil
    end
    return untried, false
end


return _M
