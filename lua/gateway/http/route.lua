--- The rewrite phase: finds the rule, answers itself where the rule says so, else prepares the request for a backend.
--
-- Values for the later phases lie in `ngx.ctx`:
--
--     request, listener, rule | nil         always
--     origin | nil, preflight | nil         when the rule has CORS, see `gateway.cors`
--     balancer, peer, point, set_cookie     when the request goes to a backend, see `gateway.balancers`

local ngxvar = require "resty.ngxvar"

local balancers = require "gateway.balancers"
local caches = require "gateway.caches"
local cors = require "gateway.cors"
local forwarded = require "gateway.http.forwarded"
local headers = require "gateway.headers"
local listener = require "gateway.http.listener"
local metrics = require "gateway.metrics"
local printable = require "gateway.printable"
local reasons = require "gateway.http.reason"
local redirect = require "gateway.redirect"
local request = require "gateway.http.request"
local uri = require "gateway.uri"

local cache_hit = metrics.cache_hit
local exit = ngx.exit
local fetch = ngxvar.fetch
local has_policy = caches.has_policy
local header = ngx.header
local listener_of = listener.of
local new_request = request.new
local ngx = ngx
local pass_on_told = forwarded.pass_on
local refuse = reasons.refuse
local rules_of = caches.rules
local type = type
local update = caches.update
local var = ngx.var

local ERR, WARN = ngx.ERR, ngx.WARN
local NOT_FOUND, UNAVAILABLE = ngx.HTTP_NOT_FOUND, ngx.HTTP_SERVICE_UNAVAILABLE
local FOUND, NO_CONTENT = 302, 204
local GRPC_LOCATION = "@grpc"

local PROTOCOL_OF_MODE = { https = "https", grpc = "grpc" }
local IS_GRPC = { grpc = true, grpcs = true }


local function location_for(target, asked)
    local raw = asked.raw
    return redirect.location(target, {
        scheme = fetch("scheme", raw),
        host = asked.host,
        host_header = fetch("gateway_asked_host", raw),
        uri = fetch("request_uri", raw),
    })
end


local function send_redirect(rule, context)
    local target = rule.redirect
    header["Location"] = type(target) == "string" and target or location_for(target, context.request)
    return exit(rule.redirect_code or FOUND)
end


local function rewrite_uri(rule, context)
    local path = context.request.path
    local target, query = uri.rewrite(rule.rewrite, path)
    if not target then
        return refuse(ngx.HTTP_INTERNAL_SERVER_ERROR, ERR, context, query)
    end
    if target ~= path then
        -- nginx escapes the path again when it asks the backend, so that any byte may stand in it.
        ngx.req.set_uri(target, false, true)
    end
    if query then
        ngx.req.set_uri_args(query)
    end
end


-- Makes the rule's changes to the request on its way to the backend.
local function prepare(rule, context, protocol)
    -- HTTP/1.0 may name no host, but to the backend HTTP/1.1 is spoken, which must.
    local vhost = rule.vhost or (not context.request.host and context.peer.id)
    if vhost then
        var.gateway_vhost = vhost
    end
    if protocol ~= "http" then
        var.gateway_scheme = protocol
    end
    if rule.rewrite then
        rewrite_uri(rule, context)
    end
    pass_on_told(fetch("remote_addr", context.request.raw))
    if rule.request_headers then
        forwarded.drop_lookalikes(rule.request_headers)
        headers.apply(rule.request_headers, forwarded.remove, forwarded.set, forwarded.add)
    end
end


local function pass_on(rule, context, in_grpc)
    local balancer, err, level = balancers.find(rule.upstream)
    cache_hit("backend", level)
    if not balancer then
        local reason = err or "there is no backend group '" .. printable(rule.upstream) .. "'"
        return refuse(UNAVAILABLE, err and ERR or WARN, context, reason)
    end
    local protocol = rule.backend_protocol or PROTOCOL_OF_MODE[balancer.mode] or "http"
    if IS_GRPC[protocol] and not in_grpc then
        return ngx.exec(GRPC_LOCATION)
    end
    context.balancer = balancer
    -- Before the headers change: clients are told apart by what they sent.
    if not balancer:pick(context) then
        return refuse(UNAVAILABLE, WARN, context, "backend group '" .. printable(rule.upstream) .. "' has no backend")
    end
    prepare(rule, context, protocol)
end


local function serve(rule, context, in_grpc)
    if rule.cors then
        -- Before the headers change: the rule may have one for its backend only.
        context.origin = context.request:header("origin")
    end
    if rule.redirect then
        return send_redirect(rule, context)
    end
    if rule.cors and cors.is_preflight(context.request) then
        context.preflight = true
        return exit(NO_CONTENT)
    end
    return pass_on(rule, context, in_grpc)
end


local _M = {}


--- @param in_grpc true in the location whose backends speak gRPC
function _M.run(in_grpc)
    update()
    local asked = new_request()
    local port = listener_of(fetch("server_port", asked.raw))
    local index, err, level = rules_of(port.rules)
    cache_hit("rule", level)
    local rule = index and index:find(asked)
    local context = { request = asked, listener = port, rule = rule }
    ngx.ctx = context
    if rule then
        var.gateway_rule = rule.id
        return serve(rule, context, in_grpc)
    end
    if err then
        return refuse(UNAVAILABLE, ERR, context, err)
    end
    if not index and not has_policy() then
        return refuse(UNAVAILABLE, WARN, context, "no policy is in force yet")
    end
    return refuse(NOT_FOUND, WARN, context, index and "no rule matches" or "the port has no rules")
end


return _M
