--- Signals to the nginx that a test runs in, and requests to any worker that takes them.

local PATIENCE = 10

local _M = {}

--- Tries each 10 ms until `test()` is true; throws when it takes too long.
function _M.wait_until(test)
    local deadline = ngx.now() + PATIENCE
    repeat
        if test() then
            return
        end
        ngx.sleep(0.01)
    until ngx.now() > deadline

    error("it takes too long")
end

--- Sends a signal ("HUP", "KILL") to a process, by default to the master.
function _M.signal(name, pid)
    if not pid then
        local file = assert(io.open(ngx.config.prefix() .. "logs/nginx.pid"))
        pid = file:read("*n")
        file:close()
    end
    assert(os.execute("kill -" .. name .. " " .. pid))
end

--- Is this process there still?
function _M.is_alive(pid)
    local file = io.open("/proc/" .. pid .. "/stat")
    if file then
        file:close()
    end
    return file ~= nil
end

--- Does the error log have this text?
function _M.has_logged(text)
    local file = assert(io.open(ngx.config.prefix() .. "logs/error.log"))
    local log = file:read("*a")
    file:close()
    return log:find(text, 1, true) ~= nil
end

--- The body of GET `path`, on a connection of its own; nil and an error when there is no answer.
function _M.get(path)
    local socket = ngx.socket.tcp()
    socket:settimeout(2000)
    local ok, err = socket:connect("127.0.0.1", ngx.var.server_port)
    if not ok then
        return nil, err
    end
    socket:send("GET " .. path .. " HTTP/1.0\r\nHost: localhost\r\n\r\n")
    local answer
    answer, err = socket:receive("*a")
    socket:close()
    return answer and answer:match("\r\n\r\n(.*)$"), err
end

return _M
