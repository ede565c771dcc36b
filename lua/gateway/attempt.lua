--- The balancer phase of both subsystems: hands a peer to nginx, and another one when the first did not answer.
--
-- What the phase before has left in `ngx.ctx`: balancer and peer (see `gateway.balancers`), and the rule.

local ngx_balancer = require "ngx.balancer"

local set_current_peer = ngx_balancer.set_current_peer
local set_more_tries = ngx_balancer.set_more_tries
local set_timeouts = ngx_balancer.set_timeouts

-- After the first attempt.
local MORE_TRIES = 1

local _M = {}


-- The peer of this attempt. A group's only peer is not asked twice.
local function choose(context)
    if context.tries then
        context.tries = context.tries + 1
        return context.balancer:pick_other(context)
    end
    context.tries = 1
    if context.balancer.peer_count > 1 then
        set_more_tries(MORE_TRIES)
    end
    return context.peer
end


--- @param context of the request; its field `tries` counts the attempts
-- @return true; or nil, err
function _M.run(context)
    local peer = choose(context)
    local ok, err = set_current_peer(peer.address, peer.port)
    if not ok then
        return nil, "could not choose " .. peer.id .. ": " .. err
    end
    local timeouts = context.rule.timeouts
    if timeouts then
        ok, err = set_timeouts(timeouts.connect, timeouts.send, timeouts.read)
        if not ok then
            return nil, "could not set the timeouts of " .. peer.id .. ": " .. err
        end
    end
    return true
end


return _M
