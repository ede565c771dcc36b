--- The log phase: counts what was served.

local metrics = require "gateway.metrics"

local count_request = metrics.request
local ngx = ngx
local now = ngx.now
local start_time = ngx.req.start_time

-- What nginx answers when a backend did not.
local FAILURES = { [502] = true, [504] = true }

local _M = {}


function _M.run()
    local context = ngx.ctx
    local listener = context.listener
    if not listener then
        return
    end
    local status, rule = ngx.status, context.rule
    if context.tries and FAILURES[status] then
        metrics.upstream_failure(context.balancer.name)
    end
    return count_request(listener.port, status, rule and rule.id, now() - start_time())
end


return _M
