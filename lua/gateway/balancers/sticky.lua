--- Stickiness by a cookie or a header: the same value goes to the same peer, by consistent hash.
--
-- A client without the cookie is given a new random value, which `context.set_cookie` hands to the header filter. One without
-- the header is served in rounds.

local consistent_hash = require "gateway.balancers.consistent_hash"
local round_robin = require "gateway.balancers.round_robin"
local random = require "resty.random"
local to_hex = require("resty.string").to_hex

local setmetatable = setmetatable

local DEFAULT_COOKIE = "JSESSIONID"
local COOKIE_BYTES = 16

local _M = {}
local mt = { __index = _M }


--- @param group a Group whose affinity is "cookie" or "header"
-- @return balancer
function _M.new(group)
    local by_cookie = group.affinity == "cookie"
    local round = round_robin.new(group)
    return setmetatable({
        peer_count = round.peer_count,
        cookie = by_cookie and (group.attribute or DEFAULT_COOKIE) or nil,
        header = not by_cookie and group.attribute or nil,
        ring = consistent_hash.new(group),
        round = round,
    }, mt)
end


local function key_of(self, context)
    if self.header then
        return context.request:header(self.header)
    end
    if not self.cookie then
        return nil
    end
    local value = context.request:cookie(self.cookie)
    if not value or value == "" then
        value = to_hex(random.bytes(COOKIE_BYTES))
        context.set_cookie = { name = self.cookie, value = value }
    end
    return value
end


--- The peer that the client's cookie or header leads to.
-- @return peer, or nil when the group has none
function _M:pick(context)
    local key = key_of(self, context)
    if key and key ~= "" then
        return self.ring:pick_key(key, context)
    end
    return self.round:pick(context)
end


--- Another peer for a retry; the cookie stays as it is, so that the client comes back when its peer does.
function _M:pick_other(context)
    if context.point then
        return self.ring:pick_other(context)
    end
    return self.round:pick_other(context)
end


return _M
