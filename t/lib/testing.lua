--- Helpers for Lua code in the blocks of t/: clients of the gateway, and the replacing of its policy.

local cjson = require "cjson.safe"

local ffi = require "ffi"

pcall(ffi.cdef, "int kill(int pid, int signal);")

local SIGHUP = 1
-- As many answers of new workers in a row as leave no doubt that the old ones take none any more.
local ANSWERS = 5
-- Milliseconds that a client waits for an answer: the request by which a worker makes the index of a huge policy takes seconds.
local PATIENCE = 20000

local _M = {
    -- When this configuration was read: Gateway.pm has it told at /born.
    born = tostring(ngx.now()),

    -- The port of Test::Nginx; Gateway.pm sets it. The others follow in Gateway.pm's order.
    base_port = nil,
}


-- As in Gateway.pm.
local OFFSETS = {
    http = 0, https = 1, status = 2, one = 3, two = 4, three = 5, tls = 6, dead = 7, broken = 8, grpc = 9, full = 10, free = 11,
    workers = 12,
}


--- One of the ports by its name in Gateway.pm.
function _M.port(name)
    return _M.base_port + assert(OFFSETS[name], name)
end


--- Path of a file below the server root's html folder, where policies lie.
function _M.path(name)
    return ngx.config.prefix() .. "html/" .. name
end


function _M.read(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    return text
end


--- Ask until `condition()` holds; false when it does not within the seconds.
function _M.wait_until(condition, seconds)
    local deadline = ngx.now() + seconds
    repeat
        if condition() then
            return true
        end
        ngx.sleep(0.01)
        ngx.update_time()
    until ngx.now() > deadline
    return false
end


--- How many policies were taken over so far.
function _M.generation()
    return ngx.shared.policy:get("/generation") or 0
end


-- The reader's state.
local function reader_state()
    return cjson.decode(ngx.shared.policy:get("/state") or "{}")
end


--- Wait until the reader has dealt with the first file: a worker may serve requests before the one that reads has begun.
function _M.await_reader()
    assert(_M.wait_until(function() return _M.generation() > 0 or reader_state().error end, 5), "the reader does not read")
end


--- Put this text in the policy's place in one step, as controllers do.
function _M.replace_policy(text)
    _M.await_reader()
    local path = _M.path("policy.json")
    local file = assert(io.open(path .. ".new", "wb"))
    file:write(text)
    file:close()
    assert(os.rename(path .. ".new", path))
end


--- Delete the policy's file.
function _M.remove_policy()
    _M.await_reader()
    assert(os.remove(_M.path("policy.json")))
end


--- Put the policy that the sections `rules_<n>`, `groups_<n>` etc. describe in force, and wait until every worker may have it.
-- seconds: how long to wait for the generation to grow; 0 not to wait.
function _M.use(n, seconds)
    _M.await_reader()
    local before = _M.generation()
    _M.replace_policy(_M.read(_M.path("policy-" .. n .. ".json")))
    if seconds == 0 then
        return
    end
    assert(_M.wait_until(function() return _M.generation() > before end, seconds or 3), "the new policy was not taken over")
end


local function read_headers(sock)
    local headers = {}
    while true do
        local line = assert(sock:receive("*l"))
        if line == "" then
            return headers
        end
        local name, value = line:match("^([^:]+):%s*(.-)%s*$")
        name = name:lower()
        headers[name] = headers[name] and (headers[name] .. " | " .. value) or value
    end
end


local function read_chunks(sock)
    local parts = {}
    while true do
        local size = tonumber(assert(sock:receive("*l")):match("^%x+"), 16)
        if size > 0 then
            parts[#parts + 1] = assert(sock:receive(size))
        end
        assert(sock:receive("*l"))
        if size == 0 then
            return table.concat(parts)
        end
    end
end


local function read_body(sock, status, headers, method)
    if method == "HEAD" or status == 204 or status == 304 then
        return ""
    end
    if headers["transfer-encoding"] == "chunked" then
        return read_chunks(sock)
    end
    if headers["content-length"] then
        return tonumber(headers["content-length"]) == 0 and "" or assert(sock:receive(tonumber(headers["content-length"])))
    end
    return sock:receive("*a") or ""
end


local function request_text(path, options)
    local lines = { (options.method or "GET") .. " " .. path .. " HTTP/1.1", "Host: " .. (options.host or "localhost") }
    for name, value in pairs(options.headers or {}) do
        lines[#lines + 1] = name .. ": " .. value
    end
    if options.body then
        lines[#lines + 1] = "Content-Length: " .. #options.body
    end
    lines[#lines + 1] = "Connection: " .. (options.connection or "close")
    return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (options.body or "")
end


--- Connect to one of the ports by name; with `tls` a handshake follows: { sni = name | nil, verify = boolean }.
-- Returns the socket, or nil and an error.
function _M.connect(name, tls)
    local sock = ngx.socket.tcp()
    sock:settimeout(PATIENCE)
    local ok, err = sock:connect("127.0.0.1", _M.port(name), { pool_size = 1, pool = tostring(sock) })
    if not ok then
        return nil, err
    end
    if tls then
        ok, err = sock:sslhandshake(nil, tls.sni, tls.verify or false)
        if not ok then
            sock:close()
            return nil, err
        end
    end
    return sock
end


--- Begin a request over an open connection. options: method, host, headers (a table), body, connection (the Connection header,
-- "close" by default).
function _M.send(sock, path, options)
    assert(sock:send(request_text(path, options)))
end


--- The answer to what was sent: { status, headers (lower-case names), body }, or nil and an error.
function _M.receive(sock, options)
    local line, err = sock:receive("*l")
    if not line then
        return nil, err
    end
    local status = tonumber(line:match("^HTTP/1%.%d (%d+)"))
    local headers = read_headers(sock)
    return { status = status, headers = headers, body = read_body(sock, status, headers, options.method) }
end


--- One request over a connection of its own. options: those of `send`, to (name of a port, "http" by default), tls (as for connect).
-- Returns the answer as `receive` does.
function _M.request(path, options)
    options = options or {}
    local sock, err = _M.connect(options.to or (options.tls and "https") or "http", options.tls)
    if not sock then
        return nil, err
    end
    _M.send(sock, path, options)
    local answer
    answer, err = _M.receive(sock, options)
    sock:close()
    return answer, err
end


--- Ask for an upgrade of the connection, and send lines over it.
-- Returns the first line of the answer and what came back for each line; or nil and an error.
function _M.upgrade(path, lines, options)
    options = options or {}
    options.connection = "Upgrade"
    options.headers = options.headers or {}
    options.headers.Upgrade = "websocket"
    local sock, err = _M.connect(options.tls and "https" or "http", options.tls)
    if not sock then
        return nil, err
    end
    _M.send(sock, path, options)
    local status = assert(sock:receive("*l"))
    read_headers(sock)
    local echoes = {}
    for i, line in ipairs(lines) do
        assert(sock:send(line .. "\n"))
        echoes[i] = assert(sock:receive("*l"))
    end
    sock:close()
    return status, echoes
end


--- The name of the backend that gave this answer, or the status when it was none.
function _M.backend_of(answer)
    return answer.headers["x-backend"] or answer.status
end


--- The same for a request that is made now.
function _M.who(path, options)
    return _M.backend_of(assert(_M.request(path, options)))
end


--- How often each backend answered `count` requests, as "one 3, two 1".
function _M.tally(count, path, options)
    local got, names = {}, {}
    for _ = 1, count do
        local who = tostring(_M.who(path or "/", options))
        if not got[who] then
            got[who] = 0
            names[#names + 1] = who
        end
        got[who] = got[who] + 1
    end
    table.sort(names)
    for i, name in ipairs(names) do
        names[i] = name .. " " .. got[name]
    end
    return table.concat(names, ", ")
end


--- Handshake with the gateway's TLS port; returns true, or nil and the error of the client. verify = true checks the chain against
-- the location's lua_ssl_trusted_certificate, and the name when `sni` is given.
function _M.handshake(sni, verify)
    local sock, err = _M.connect("https", { sni = sni, verify = verify })
    if not sock then
        return nil, err
    end
    sock:close()
    return true
end


--- The decoded answer of /status.
function _M.status()
    return assert(cjson.decode(assert(_M.request("/status", { to = "status" })).body))
end


--- The text of /metrics.
function _M.metrics()
    return assert(_M.request("/metrics", { to = "status" })).body
end


--- Value of one line of /metrics, by its name and labels as written there; nil when there is no such line.
function _M.metric(series)
    local text = "\n" .. _M.metrics()
    local _, stop = text:find("\n" .. series .. " ", 1, true)
    return stop and tonumber(text:match("^%S+", stop + 1))
end


--- Wait until so many policies were refused since nginx started: the log has their lines by then.
function _M.await_refusals(count)
    local function refused() return _M.metric("gateway_policy_errors_total") end
    assert(_M.wait_until(function() return refused() == count end, 5), "not " .. count .. " refused policies")
end


--- How many lines of the error log have this Lua pattern.
function _M.logged(pattern)
    local count = 0
    for line in _M.read(ngx.config.prefix() .. "logs/error.log"):gmatch("[^\n]+") do
        count = count + (line:find(pattern) and 1 or 0)
    end
    return count
end


--- Wait until every worker has handed its counts over, which each does once a second.
function _M.settle()
    ngx.sleep(1.1)
end


--- Have nginx read its configuration again, as `nginx -s reload` does, and wait until only new workers take requests.
function _M.reload()
    assert(ffi.C.kill(tonumber(_M.read(ngx.config.prefix() .. "logs/nginx.pid")), SIGHUP) == 0)
    local in_a_row = 0
    assert(_M.wait_until(function()
        in_a_row = _M.request("/born").body ~= _M.born and in_a_row + 1 or 0
        return in_a_row == ANSWERS
    end, 5), "no new workers")
end


return _M
