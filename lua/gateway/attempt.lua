--- The balancer phase of both subsystems: hands a peer to nginx, and another one when the first did not answer.
--
-- Values that the phase before has left in `ngx.ctx`: balancer and peer (see `gateway.balancers`), and the rule.

local health = require "gateway.health"
local ngx_balancer = require "ngx.balancer"

local eject = health.eject
local find = string.find
local min = math.min
local set_current_peer = ngx_balancer.set_current_peer
local set_more_tries = ngx_balancer.set_more_tries
local set_timeouts = ngx_balancer.set_timeouts
local var = ngx.var

-- Of one request, however many backends its group has.
local MOST_TRIES = 5

-- An attempt that sent nothing had no connection. When the next one begins, it stands behind that in nginx's list already.
local UNSENT = ", 0$"
local UNSENT_BEFORE = ngx.config.subsystem == "stream" and ", 0, %d+$" or ", 0 : $"

local _M = {}


local function sent_nothing(pattern)
    return find(", " .. (var.upstream_bytes_sent or ""), pattern) ~= nil
end


-- The peer of this attempt. A group's only peer is not asked twice.
local function choose(context)
    if context.tries then
        if sent_nothing(UNSENT_BEFORE) then
            eject(context.balancer.name, context.peer)
        end
        context.tries = context.tries + 1
        return context.balancer:pick_other(context)
    end
    context.tries = 1
    local count = context.balancer.peer_count
    if count > 1 then
        set_more_tries(min(count, MOST_TRIES) - 1)
    end
    return context.peer
end


--- Passes the peer of the last attempt over, if that had no connection; to be called when the request has failed.
function _M.conclude(context)
    if context.balancer.peer_count > 1 and sent_nothing(UNSENT) then
        eject(context.balancer.name, context.peer)
    end
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
