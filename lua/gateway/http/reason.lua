--- Why a request could not be served: one line in the error log, a field of the access log, a short answer.

local printable = require "gateway.printable"

local log = ngx.log

local _M = {}


--- Ends the request with a status.
-- @param status 404, 500 or 503
-- @param level of the log line
-- @param context of the request
-- @param reason what it failed for
function _M.refuse(status, level, context, reason)
    local request = context.request
    log(level, "no answer for port ", context.listener.name, ", host ", printable(request.host or "-"), ", path ",
        printable(request.path), ": ", reason)
    ngx.var.gateway_reason = reason
    ngx.status = status
    ngx.header["Content-Type"] = "text/plain"
    ngx.print(status == 404 and "nothing here\n" or "not available\n")
    return ngx.exit(ngx.HTTP_OK)
end


return _M
