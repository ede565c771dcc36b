--- The ports that requests come in on: which rules they take.
--
-- A listener's port is the port of its rules, unless the option `ports` says otherwise (a listener 8080 may take the rules of 80).

local options = require "gateway.options"
local shelf = require "gateway.shelf"

local tonumber = tonumber

local listeners = {}


local function new_listener(port)
    local number = options.get().ports[port] or port
    return { port = number, name = tostring(number), rules = shelf.list_key("http", "tcp", number) }
end


local _M = {}


--- @param port of the listener, as text or number
-- @return { port = number, name = the same as text (what its default certificate is called), rules = key of its rules }
function _M.of(port)
    local listener = listeners[port]
    if not listener then
        listener = new_listener(tonumber(port))
        listeners[port] = listener
    end
    return listener
end


return _M
