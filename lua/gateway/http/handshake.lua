--- The certificate phase: hands the certificate of the name that the client asked for to the handshake.
--
-- The exact domain first, then the wildcard one label up, then the listener's port. A client that names nothing, or an address, gets the
-- port's. Without any, nothing is set: the handshake fails, and a line in the error log says so.

local address = require "gateway.address"
local caches = require "gateway.caches"
local listener = require "gateway.http.listener"
local metrics = require "gateway.metrics"
local printable = require "gateway.printable"
local ssl = require "ngx.ssl"

local cache_hit = metrics.cache_hit
local certificate_of = caches.certificate
local find = string.find
local log = ngx.log
local lower = string.lower
local sub = string.sub

local ERR = ngx.ERR


local function look_up(name)
    local certificate, err, level = certificate_of(name)
    if err then
        log(ERR, "could not read the certificate of '", printable(name), "': ", err)
    end
    cache_hit("cert", level)
    return certificate
end


-- The domain that the client named, as it stands in policies; nil for none and for an address.
local function named_domain()
    local name = ssl.server_name()
    if not name or name == "" or address.key(name) then
        return nil
    end
    if sub(name, -1) == "." then
        name = sub(name, 1, -2)
    end
    return lower(name)
end


local function find_certificate(domain, port_name)
    local certificate = domain and look_up(domain)
    if certificate then
        return certificate, "name"
    end
    local dot = domain and find(domain, ".", 1, true)
    certificate = dot and look_up("*" .. sub(domain, dot))
    if certificate then
        return certificate, "wildcard"
    end
    certificate = look_up(port_name)
    return certificate, certificate and "port" or "none"
end


local function set(certificate)
    local ok, err = ssl.clear_certs()
    if ok then
        ok, err = ssl.set_cert(certificate.chain)
    end
    if ok then
        ok, err = ssl.set_priv_key(certificate.key)
    end
    return ok, err
end


local _M = {}


function _M.run()
    caches.update()
    local domain = named_domain()
    local port = listener.of(ssl.server_port())
    local certificate, by = find_certificate(domain, port.name)
    metrics.handshake(by)
    if not certificate then
        local client = domain and "'" .. printable(domain) .. "'" or "a client that names no domain"
        log(ERR, "no certificate for ", client, " on port ", port.name, ", the handshake fails")
        return
    end
    local ok, err = set(certificate)
    if not ok then
        log(ERR, "could not set the certificate of '", printable(domain or port.name), "': ", err)
        return ngx.exit(ngx.ERROR)
    end
end


return _M
