--- The log phase: counts what was served.

local attempt = require "gateway.attempt"
local metrics = require "gateway.metrics"

local count_request = metrics.request
local find = string.find
local ngx = ngx
local now = ngx.now
local start_time = ngx.req.start_time
local var = ngx.var

-- nginx's answers when no backend gave one; a backend may answer so itself.
local FAILURES = { [502] = true, [504] = true }


-- Whether the backend that was asked last sent the head of an answer: of one that did not there is a "-" in the place of its time.
local function has_answered()
    return find(var.upstream_header_time or "-", "%d$") ~= nil
end


local _M = {}


function _M.run()
    local context = ngx.ctx
    local listener = context.listener
    if not listener then
        return
    end
    local status, rule = ngx.status, context.rule
    if context.tries and FAILURES[status] and not has_answered() then
        metrics.upstream_failure(context.balancer.name)
        attempt.conclude(context)
    end
    return count_request(listener.port, status, rule and rule.id, now() - start_time())
end


return _M
