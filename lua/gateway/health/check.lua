--- One health check: its settings, and carrying it out once.
--
--   { type = "tcp" | "http", interval, timeout (seconds), healthy, unhealthy (how many in a row change the state),
--     path, host | nil (of http) }

local fields = require "gateway.fields"

local match = string.match
local tcp = ngx.socket.tcp
local tonumber = tonumber

local TYPES = { tcp = "tcp", http = "http" }
local MOST_MILLISECONDS = 3600 * 1000
local MOST_IN_A_ROW = 100
local PATH = "^/[%w%p]*$"


local _M = {
    MEMBERS = {
        type = true, path = true, host = true, interval_ms = true, timeout_ms = true, healthy_threshold = true, unhealthy_threshold = true,
    },
}


local function read_seconds(object, name, usual)
    return (object:integer(name, 1, MOST_MILLISECONDS) or usual) / 1000
end


--- Reads a check.
-- @param object fields
-- @return check; what is wrong is complained about through `object`
function _M.read(object)
    local path = object:line("path") or "/"
    if not match(path, PATH) then
        object:complain("path", "must begin with / and have no blanks")
    end
    return {
        type = object:choice("type", TYPES) or "tcp",
        path = path,
        host = object:line("host"),
        interval = read_seconds(object, "interval_ms", 5000),
        timeout = read_seconds(object, "timeout_ms", 1000),
        healthy = object:integer("healthy_threshold", 1, MOST_IN_A_ROW) or 2,
        unhealthy = object:integer("unhealthy_threshold", 1, MOST_IN_A_ROW) or 3,
    }
end


--- Reads a check from JSON text, as of an option.
-- @return check, or nil and all problems
function _M.parse(text)
    local problems = {}
    local object, err = fields.decode(text, problems)
    if not object then
        return nil, err
    end
    local check = _M.read(object)
    if #problems > 0 then
        return nil, table.concat(problems, "; ")
    end
    return check
end


local function ask(sock, check, peer)
    local sent, err = sock:send("GET " .. check.path .. " HTTP/1.0\r\nHost: " .. (check.host or peer.id)
                                .. "\r\nUser-Agent: gateway-health-check\r\nConnection: close\r\n\r\n")
    local line
    if sent then
        line, err = sock:receive("*l")
    end
    if not line then
        return nil, err
    end
    local status = tonumber(match(line, "^HTTP/1%.%d (%d%d%d)"))
    if not status or status < 200 or status > 399 then
        return nil, status and "status " .. status or "no HTTP"
    end
    return true
end


--- Carries a check out.
-- @param is_tls whether http is spoken under TLS
-- @return true, or nil and what is wrong
function _M.run(check, peer, is_tls)
    local sock = tcp()
    sock:settimeout(check.timeout * 1000)
    local ok, err = sock:connect(peer.address, peer.port, { pool = "health check", pool_size = 1 })
    if not ok then
        return nil, err
    end
    if check.type == "http" then
        if is_tls then
            ok, err = sock:sslhandshake(false, check.host, false)
        end
        if ok then
            ok, err = ask(sock, check, peer)
        end
    end
    sock:close()
    return ok, err
end


return _M
