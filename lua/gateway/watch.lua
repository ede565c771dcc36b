--- Whether a file changed, and its content in one piece.
--
-- The file is looked at with stat(2), many times a second, instead of being watched with inotify: a look costs about a
-- microsecond, needs no file descriptor in nginx's event loop (which Lua cannot add one to), and sees changes that inotify does not:
-- a symbolic link further up the path that now leads elsewhere (a mounted ConfigMap is replaced by switching its `..data`),
-- a file on a network or overlay file system that another machine or layer replaced, a file that does not exist yet.
--
-- The system calls are made by number, because C libraries differ in which stat functions they export while the kernel's
-- `struct stat` is the same under all of them.

local contents = require "gateway.content"
local digests = require "gateway.digest"
local ffi = require "ffi"

local C = ffi.C
local bor = require("bit").bor
local cast = ffi.cast
local concat = table.concat
local errno = ffi.errno
local min = math.min
local setmetatable = setmetatable
local to_string = ffi.string
local tonumber = tonumber

pcall(ffi.cdef, "long syscall(long number, ...);")
pcall(ffi.cdef, "int open(const char *path, int flags, ...);")
pcall(ffi.cdef, "long read(int fd, void *buffer, size_t size);")
pcall(ffi.cdef, "int close(int fd);")
pcall(ffi.cdef, "char *strerror(int number);")

-- Numbers of the system calls, and where `st_mode` lies: the rest of what is read here has the same place on both.
local ARCHITECTURES = {
    x64 = { newfstatat = 262, fstat = 5, mode = 24 },
    arm64 = { newfstatat = 79, fstat = 80, mode = 16 },
}
local ARCHITECTURE = ARCHITECTURES[ffi.arch]

local STAT_SIZE = 256
local DEVICE, INODE, SIZE, MODIFIED, CHANGED = 0, 8, 48, 88, 104
local TYPE_MASK, REGULAR, DIRECTORY = 0xF000, 0x8000, 0x4000

local AT_FDCWD = -100
-- Without O_NONBLOCK opening a pipe would wait for its writer.
local O_RDONLY, O_NONBLOCK, O_CLOEXEC = 0, 0x800, 0x80000
local EINTR = 4

local CHUNK = 256 * 1024
local ATTEMPTS = 5

local buffer = ffi.new("uint8_t[?]", STAT_SIZE)


local function message(number)
    return to_string(C.strerror(number))
end


local function long_at(offset)
    return cast("int64_t *", buffer + offset)[0]
end


-- Text of a time of `struct stat`: seconds and nanoseconds.
local function time_at(offset)
    return tostring(long_at(offset)) .. "." .. tostring(long_at(offset + 8))
end


-- The buffer's facts about a file. `identity` differs whenever the file is another one or was written to.
local function status()
    local kind = bit.band(cast("uint32_t *", buffer + ARCHITECTURE.mode)[0], TYPE_MASK)
    return {
        is_regular = kind == REGULAR,
        is_directory = kind == DIRECTORY,
        size = tonumber(long_at(SIZE)),
        modified = tonumber(long_at(MODIFIED)) + tonumber(long_at(MODIFIED + 8)) / 1e9,
        identity = concat({ tostring(long_at(DEVICE)), tostring(long_at(INODE)), tostring(long_at(SIZE)),
                            time_at(MODIFIED), time_at(CHANGED) }, " "),
    }
end


local function fstat(fd)
    if C.syscall(ARCHITECTURE.fstat, cast("long", fd), buffer) ~= 0 then
        return nil, "could not stat: " .. message(errno())
    end
    return status()
end


-- Reads into `content` until the end of the file or until it is full. Returns the number of bytes.
local function fill(fd, content, pause)
    local length = 0
    while length < content.length do
        local got = tonumber(C.read(fd, content.bytes + length, min(CHUNK, content.length - length)))
        if got == 0 then
            break
        elseif got > 0 then
            length = length + got
            pause()
        elseif errno() ~= EINTR then
            return nil, "could not read: " .. message(errno())
        end
    end
    return length
end


-- The fingerprint of the whole content.
local function fingerprint(content, pause)
    local digest = digests.new()
    for offset = 0, content.length - 1, CHUNK do
        digest:update(content.bytes + offset, min(CHUNK, content.length - offset))
        pause()
    end
    return digest:hex()
end


local function problem_of(found, limit)
    if found.is_directory then
        return "is a directory"
    elseif not found.is_regular then
        return "is not a regular file"
    elseif found.size == 0 then
        return "is empty"
    elseif found.size > limit then
        return ("has %d bytes, the limit is %d"):format(found.size, limit)
    end
end


-- Reads the open file, of which `before` is the status, into `content`. Returns its fingerprint; or nil, err, and true when the
-- file was written to meanwhile.
local function read_into(content, fd, before, pause)
    local length, err = fill(fd, content, pause)
    if not length then
        return nil, err
    end
    local digest = length == content.length and fingerprint(content, pause)
    local after = fstat(fd)
    if not digest or not after or after.identity ~= before.identity then
        return nil, "changed while it was read", true
    end
    return digest
end


-- Reads the open file once. Returns its content, or nil, err, and in either case its status; the fourth value is true when the
-- file was written to meanwhile.
local function read_once(fd, limit, pause)
    local found, err = fstat(fd)
    if not found then
        return nil, err
    end
    local problem = problem_of(found, limit)
    if problem then
        return nil, problem, found
    end
    local content
    content, err = contents.new(found.size)
    if not content then
        return nil, err, found
    end
    local changed
    found.digest, err, changed = read_into(content, fd, found, pause)
    if not found.digest then
        content:release()
        return nil, err, found, changed
    end
    return content, nil, found
end


local _M = {}
local mt = { __index = _M }


--- @param path of the file
-- @param limit largest size that is read, in bytes
function _M.new(path, limit)
    if not ARCHITECTURE then
        error("no layout of stat known for " .. ffi.arch, 2)
    end
    return setmetatable({ path = path, limit = limit }, mt)
end


--- Looks at the file, following symbolic links.
-- @return { identity, size, modified, is_regular, is_directory }, or nil and why there is none
function _M:look()
    local call = ARCHITECTURE.newfstatat
    if C.syscall(call, cast("long", AT_FDCWD), cast("const char *", self.path), buffer, cast("long", 0)) ~= 0 then
        return nil, "could not open: " .. message(errno())
    end
    return status()
end


--- Reads the file as it was at one moment: a file that changed meanwhile is read again.
-- @param pause called now and then; may wait
-- @return content as from `gateway.content`, to be released by the caller, and its status with a `digest`; or nil, what is wrong,
--         and the status if there is one
function _M:read(pause)
    local content, err, found, changed
    for _ = 1, ATTEMPTS do
        local fd = C.open(self.path, bor(O_RDONLY, O_NONBLOCK, O_CLOEXEC))
        if fd < 0 then
            return nil, "could not open: " .. message(errno())
        end
        content, err, found, changed = read_once(fd, self.limit, pause)
        C.close(fd)
        if not changed then
            break
        end
    end
    if not content then
        return nil, err, found
    end
    return content, found
end


return _M
