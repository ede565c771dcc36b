--- A port that takes no connections and refuses none: a listening socket whose queue is full, as of a program that hangs. Connecting to
-- it waits until the client's own timeout.

local ffi = require "ffi"

pcall(ffi.cdef, [[
    int socket(int domain, int type, int protocol);
    int bind(int fd, const void *address, unsigned int length);
    int listen(int fd, int backlog);
    int connect(int fd, const void *address, unsigned int length);
    int close(int fd);
]])

local C = ffi.C

local AF_INET, SOCK_STREAM, SOCK_NONBLOCK = 2, 1, 0x800
local ADDRESS_SIZE = 16
-- More than a queue of one takes, on any kernel.
local CONNECTIONS = 16

local _M = {}
local mt = { __index = _M }


-- struct sockaddr_in of a port of 127.0.0.1.
local function loopback(port)
    local address = ffi.new("uint8_t[?]", ADDRESS_SIZE)
    ffi.cast("uint16_t *", address)[0] = AF_INET
    address[2], address[3] = math.floor(port / 256), port % 256
    address[4], address[7] = 127, 1
    return address
end


local function new_socket()
    local fd = C.socket(AF_INET, bit.bor(SOCK_STREAM, SOCK_NONBLOCK), 0)
    assert(fd >= 0, "no socket")
    return fd
end


--- Take the port.
function _M.open(port)
    local address = loopback(port)
    local fds = { new_socket() }
    assert(C.bind(fds[1], address, ADDRESS_SIZE) == 0, "could not bind")
    assert(C.listen(fds[1], 0) == 0, "could not listen")
    for _ = 1, CONNECTIONS do
        local fd = new_socket()
        C.connect(fd, address, ADDRESS_SIZE)
        fds[#fds + 1] = fd
    end
    return setmetatable({ fds = fds }, mt)
end


function _M:close()
    for _, fd in ipairs(self.fds) do
        C.close(fd)
    end
end


return _M
