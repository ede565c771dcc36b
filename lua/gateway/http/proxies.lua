--- The proxies in front of the gateway: which peers are believed what they tell of a request.

local address = require "gateway.address"
local options = require "gateway.options"

local gmatch = string.gmatch
local ipairs = ipairs
local key_of = address.key

-- Peers are asked about over and over; those of the internet are without end.
local MOST_KNOWN = 4096

local networks              -- of the options; read when first asked for
local known, count = {}, 0  -- text of an address -> whether it is trusted


local function is_inside(text)
    local key, family = key_of(text)
    if not key then
        return false
    end
    for _, network in ipairs(networks) do
        if family == network.family and key >= network.least and key <= network.greatest then
            return true
        end
    end
    return false
end


local _M = {}


--- Whether the peer of this address is a trusted proxy.
function _M.trust(text)
    networks = networks or options.get().trusted_proxies
    if not networks[1] then
        return false
    end
    local trusted = known[text]
    if trusted == nil then
        if count == MOST_KNOWN then
            known, count = {}, 0
        end
        trusted = is_inside(text)
        known[text] = trusted
        count = count + 1
    end
    return trusted
end


--- Where a request came from that reached the gateway through trusted proxies: of the addresses that they tell, the last that is not
-- a trusted proxy's. The addresses before that one may be the client's invention.
-- @param list value of X-Forwarded-For, or nil
-- @return address, or nil when the list tells none
function _M.origin(list)
    local hops, found = {}, nil
    for hop in gmatch(list or "", "[^,%s]+") do
        hops[#hops + 1] = hop
    end
    for i = #hops, 1, -1 do
        if not key_of(hops[i]) then
            return found
        end
        found = hops[i]
        if not _M.trust(found) then
            return found
        end
    end
    return found
end


return _M
