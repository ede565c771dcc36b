--- The answers of the tests' backends: the request as it came.
--
-- The header X-Backend is the backend's name, X-Peer-Port the port that it was asked from, X-Protocol and X-SNI how. The first line of
-- the body is "<name> <method> <uri>"; a line "<header>: <value>" follows for each request header that the request header X-Echo lists
-- ("host, x-a"), "(none)" standing for a header that did not come.
-- A client that asks for an upgrade has each line sent back, "echo " before it.
--
-- Arguments of the query: `status`; `sleep`, seconds before the answer; `header`, a further header ("Name:value", may come several
-- times); `body=1` to have the request's body sent back; `close=1` for a connection that is not kept.

local resp = require "ngx.resp"

local _M = {}


local function echo(list)
    local headers = ngx.req.get_headers(0)
    for name in list:gmatch("[^,%s]+") do
        -- Otherwise X-A would be asked for, too, when X_A is.
        local value = rawget(headers, name:lower())
        if type(value) == "table" then
            value = table.concat(value, " | ")
        end
        ngx.say(name, ": ", value or "(none)")
    end
end


local function add_headers(list)
    if type(list) ~= "table" then
        list = { list }
    end
    for _, header in ipairs(list) do
        resp.add_header(header:match("^([%w-]+):%s*(.*)$"))
    end
end


-- Sends the lines of an upgraded connection back.
local function echo_lines()
    ngx.status = 101
    ngx.header["Upgrade"] = ngx.var.http_upgrade
    ngx.send_headers()
    ngx.flush(true)
    local sock = assert(ngx.req.socket(true))
    sock:settimeout(5000)
    while true do
        local line = sock:receive("*l")
        if not line then
            return
        end
        sock:send("echo " .. line .. "\n")
    end
end


--- Answer the request.
-- @param name of the backend
function _M.answer(name)
    if ngx.var.http_upgrade then
        return echo_lines()
    end
    local arguments = ngx.req.get_uri_args()
    if arguments.sleep then
        ngx.sleep(tonumber(arguments.sleep))
    end
    ngx.status = tonumber(arguments.status) or 200
    ngx.header["X-Backend"] = name
    ngx.header["X-Peer-Port"] = ngx.var.remote_port
    ngx.header["X-Protocol"] = ngx.var.server_protocol
    ngx.header["X-SNI"] = ngx.var.ssl_server_name
    ngx.header["Content-Type"] = "text/plain"
    add_headers(arguments.header)
    if arguments.close then
        ngx.header["Connection"] = "close"
    end
    ngx.say(name, " ", ngx.req.get_method(), " ", ngx.var.request_uri)
    echo(ngx.req.get_headers()["X-Echo"] or "")
    if arguments.body then
        ngx.req.read_body()
        ngx.print(ngx.req.get_body_data() or "")
    end
end


return _M
