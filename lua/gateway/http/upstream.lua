--- The balancer phase of HTTP: an attempt, counted, on a connection that is kept.

local attempt = require "gateway.attempt"
local metrics = require "gateway.metrics"
local ngx_balancer = require "ngx.balancer"

local attempt_next = attempt.run
local enable_keepalive = ngx_balancer.enable_keepalive
local log = ngx.log
local ngx = ngx

local ERR = ngx.ERR

-- Connections to backends that wait for the next request: seconds, and requests on one connection.
local IDLE_SECONDS = 60
local MOST_REQUESTS = 1000

local _M = {}


function _M.run()
    local context = ngx.ctx
    if not context.peer then
        log(ERR, "a request reached the backends of the gateway without its rewrite phase")
        return ngx.exit(ngx.ERROR)
    end
    local ok, err = attempt_next(context)
    if ok then
        ok, err = enable_keepalive(IDLE_SECONDS, MOST_REQUESTS)
    end
    if not ok then
        log(ERR, "could not send a request to a backend: ", err)
        return ngx.exit(ngx.ERROR)
    end
    if context.tries > 1 then
        metrics.upstream_failure(context.balancer.name)
        metrics.upstream_retry(context.balancer.name)
    end
end


return _M
