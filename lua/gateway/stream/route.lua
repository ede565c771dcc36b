--- The preread phase: finds the rule of the port and a peer of its group. Layer 4 has nothing to match by, so that the first rule of
-- a port takes all its connections.

local balancers = require "gateway.balancers"
local caches = require "gateway.caches"
local options = require "gateway.options"
local request = require "gateway.stream.request"
local shelf = require "gateway.shelf"

local log = ngx.log
local lower = string.lower
local ngx = ngx
local tonumber = tonumber

local ERR, WARN = ngx.ERR, ngx.WARN


-- The key of the rules for a listener, "stream_tcp_5432".
local function key_of(protocol, listener)
    local port = tonumber(listener)
    return shelf.list_key("stream", lower(protocol), options.get().ports[port] or port)
end


local function refuse(level, key, reason)
    log(level, "no backend for ", key, ": ", reason)
    return ngx.exit(ngx.ERROR)
end


local function rule_of(key)
    local index, err = caches.rules(key)
    if not index then
        return nil, err
    end
    return index:find()
end


local _M = {}


function _M.run()
    local var = ngx.var
    local key = key_of(var.protocol, var.server_port)
    caches.update()
    local rule, err = rule_of(key)
    if not rule then
        return refuse(err and ERR or WARN, key, err or "the port has no rules")
    end
    var.gateway_rule = rule.id
    local balancer
    balancer, err = balancers.find(rule.upstream)
    if not balancer then
        return refuse(err and ERR or WARN, key, err or "there is no backend group '" .. rule.upstream .. "'")
    end
    local context = { request = request.new(var.remote_addr), rule = rule, balancer = balancer }
    if not balancer:pick(context) then
        return refuse(WARN, key, "backend group '" .. rule.upstream .. "' has no backend")
    end
    ngx.ctx = context
end


return _M
