--- The phases of HTTP, as the configuration calls them.

local account = require "gateway.http.account"
local handshake = require "gateway.http.handshake"
local response = require "gateway.http.response"
local route = require "gateway.http.route"
local upstream = require "gateway.http.upstream"

local run_route = route.run

local _M = {
    balance = upstream.run,
    certificate = handshake.run,
    header_filter = response.run,
    log = account.run,
}


--- Of the location for all requests.
function _M.rewrite()
    return run_route(false)
end


--- Of the location that requests for gRPC backends are sent on to.
function _M.rewrite_grpc()
    return run_route(true)
end


return _M
