--- Where a rule's redirect leads.
--
-- A redirect is the text of the Location header when it leads to the same place for every request, else
-- { url, scheme, host, port }, of which url is a path that replaces path and query; scheme, host and port replace their part of what
-- the client asked for. A port goes with its scheme: where the rule names a scheme and no port, the scheme's own port is meant.

local byte = string.byte
local find = string.find
local match = string.match
local tostring = tostring

local ABSOLUTE = "^%a[%w+.-]*:"
local PORT_OF_HOST = ":(%d+)$"
local SLASH = byte("/")
local DEFAULT_PORTS = { http = "80", https = "443" }


local function port_of(redirect, host_header)
    if redirect.port then
        return redirect.port
    end
    if redirect.scheme then
        return nil
    end
    return match(host_header, PORT_OF_HOST)
end


-- Scheme, host and port of the answer. The port of the Host header is the one that the client knows; the listener's may differ.
local function origin(redirect, request)
    local scheme = redirect.scheme or request.scheme
    local port = port_of(redirect, request.host_header or "")
    local host = scheme .. "://" .. (redirect.host or request.host or "localhost")
    if port and tostring(port) ~= DEFAULT_PORTS[scheme] then
        return host .. ":" .. port
    end
    return host
end


local _M = {}


--- The redirect of what a rule gives for one; nil when it gives nothing.
-- @param url absolute ("https://..."), which is taken as it is, or a path
function _M.new(url, scheme, host, port)
    if url and (find(url, ABSOLUTE) or not (scheme or host or port)) then
        return url
    end
    if not (url or scheme or host or port) then
        return nil
    end
    return { url = url, scheme = scheme, host = host, port = port }
end


--- The value of the Location header of a redirect that is no text.
-- @param request { scheme, host (without port) | nil, host_header | nil, uri (path and query as the client sent them, nginx cuts off what
--        stands before them in the absolute form of a request) }
function _M.location(redirect, request)
    -- Never the path alone: "//elsewhere/" would be taken for another host.
    local path = redirect.url or request.uri
    if byte(path, 1) ~= SLASH then
        path = "/" .. path
    end
    return origin(redirect, request) .. path
end


return _M
