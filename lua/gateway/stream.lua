--- The phases of layer 4, as the configuration calls them where nginx has the stream Lua module.

local attempt = require "gateway.attempt"
local route = require "gateway.stream.route"

local log = ngx.log
local ngx = ngx

local _M = { preread = route.run }


function _M.balance()
    local context = ngx.ctx
    if not context.peer then
        log(ngx.ERR, "a connection reached the backends of the gateway without its preread phase")
        return ngx.exit(ngx.ERROR)
    end
    local ok, err = attempt.run(context)
    if not ok then
        log(ngx.ERR, "could not hand a connection to a backend: ", err)
        return ngx.exit(ngx.ERROR)
    end
end


return _M
