--- The ports that this nginx listens on, for TCP.
--
-- nginx has no list of them for Lua; but each worker has the sockets that the master opened.

local ffi = require "ffi"
local options = require "gateway.options"

local C = ffi.C
local pairs = pairs

pcall(ffi.cdef, "int getsockopt(int fd, int level, int name, void *value, uint32_t *length);")
pcall(ffi.cdef, "int getsockname(int fd, void *address, uint32_t *length);")

local SOL_SOCKET, SO_ACCEPTCONN = 1, 30
local AF_INET, AF_INET6 = 2, 10
local ADDRESS_SIZE = 128
-- They were opened first.
local MOST_FDS = 4096

local number, length = ffi.new("int[1]"), ffi.new("uint32_t[1]")
local address = ffi.new("uint8_t[?]", ADDRESS_SIZE)


local function is_listener(fd)
    number[0], length[0] = 0, ffi.sizeof("int")
    return C.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, number, length) == 0 and number[0] ~= 0
end


local function port_of(fd)
    length[0] = ADDRESS_SIZE
    if C.getsockname(fd, address, length) ~= 0 then
        return nil
    end
    local family = address[0] + 256 * address[1]
    if family == AF_INET or family == AF_INET6 then
        return 256 * address[2] + address[3]
    end
end


local _M = {}


--- The ports of the policy whose rules this nginx has a listener for; to be called as a worker starts.
-- @return list of numbers
function _M.ports()
    local ports, list, map = {}, {}, options.get().ports
    for fd = 3, MOST_FDS do
        local port = is_listener(fd) and port_of(fd)
        if port then
            ports[map[port] or port] = true
        end
    end
    for port in pairs(ports) do
        list[#list + 1] = port
    end
    table.sort(list)
    return list
end


return _M
