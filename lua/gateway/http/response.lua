--- The header filter: a rule's changes to the answer, the cookie that keeps a client with its peer, and one name of the server.

local cors = require "gateway.cors"
local headers = require "gateway.headers"
local resp = require "ngx.resp"

local add_header = resp.add_header
local concat = table.concat
local header = ngx.header
local ngx = ngx

local server

local function set_response_header(name, value)
    header[name] = value
end


local function remove_response_header(name)
    header[name] = nil
end


-- Besides the backend's own cookies.
local function send_cookie(cookie)
    local secure = ngx.var.scheme == "https" and "; Secure" or ""
    add_header("Set-Cookie", concat({ cookie.name, "=", cookie.value, "; Path=/; HttpOnly", secure }))
end


local _M = {}


--- Has answers say this name of the server, in the place of the one that nginx was built with.
function _M.call_server(name)
    server = name
end


function _M.run()
    if server then
        header["Server"] = server
    end
    local context = ngx.ctx
    local rule = context.rule
    if not rule then
        return
    end
    if rule.cors then
        cors.apply(rule.cors, header, context.origin, context.preflight)
    end
    if rule.response_headers then
        headers.apply(rule.response_headers, remove_response_header, set_response_header, add_header)
    end
    if context.set_cookie then
        send_cookie(context.set_cookie)
    end
end


return _M
