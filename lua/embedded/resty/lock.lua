--- A mutual exclusion between the processes of one nginx, kept in a shared dictionary.
--
-- Offers the interface of lua-resty-lock 0.09: `new`, `lock`, `unlock`, `expire`. A waiting caller sleeps in growing
-- steps and leaves the process to other requests meanwhile. A lock ends when it is unlocked, when its object is
-- collected, or `exptime` seconds after it was taken, whichever comes first.
--
-- The value stored under a key names its holder, so that one who overran `exptime` cannot release the lock that
-- another took in the meantime.

local ffi = require "ffi"

local error = error
local ffi_gc = ffi.gc
local ffi_new = ffi.new
local max = math.max
local min = math.min
local setmetatable = setmetatable
local shared = ngx.shared
local sleep = ngx.sleep
local type = type
local worker_pid = ngx.worker.pid

local DEFAULT_EXPTIME = 30
local DEFAULT_TIMEOUT = 5
local DEFAULT_STEP = 0.001
local DEFAULT_RATIO = 2
local DEFAULT_MAX_STEP = 0.5
local TOKENS_PER_PROCESS = 2 ^ 20

local token_count = 0

-- A number that no other holder has: process ids need 22 bits, so that the sum is exact in a double.
local function new_token()
    token_count = (token_count + 1) % TOKENS_PER_PROCESS
    return worker_pid() * TOKENS_PER_PROCESS + token_count
end

-- Removes the key of `held` = { dict, key, token } if it still is ours.
local function release(held)
    local dict, key = held.dict, held.key
    held.key = nil

    if dict:get(key) ~= held.token then
        return 1
    end

    local ok, err = dict:delete(key)
    if not ok then
        return nil, err
    end

    return 1
end

-- Lua tables have no finalizer here, C data has: the returned value, kept in the lock object, dies with it.
local function guard_of(held)
    return ffi_gc(ffi_new("char[1]"), function()
        if held.key then
            release(held)
        end
    end)
end

-- Sleeps until the key is free. Returns the sum of the sleeps, or nil and "timeout" or the dictionary's error.
local function wait_for(self, key, token)
    local step = self.step
    local left = self.timeout
    local elapsed = 0

    while left > 0 do
        step = min(step, left)
        sleep(step)
        elapsed = elapsed + step
        left = left - step

        local ok, err = self.held.dict:add(key, token, self.exptime)
        if ok then
            return elapsed
        end

        if err ~= "exists" then
            return nil, err
        end

        step = min(max(DEFAULT_STEP, step * self.ratio), self.max_step)
    end

    return nil, "timeout"
end

local _M = { _VERSION = "0.09" }

local mt = { __index = _M }

--- Makes a lock object, which holds one lock at a time.
-- dict_name: name of a lua_shared_dict
-- opts: nil or { exptime, timeout, step, ratio, max_step }, times in seconds; a timeout longer than exptime is cut to it
-- Returns the object, or nil and "dictionary not found".
function _M.new(_, dict_name, opts)
    if opts ~= nil and type(opts) ~= "table" then
        error("opts must be a table", 2)
    end

    local dict = shared[dict_name]
    if not dict then
        return nil, "dictionary not found"
    end

    opts = opts or {}
    local exptime = opts.exptime or DEFAULT_EXPTIME
    local held = { dict = dict }

    return setmetatable({
        held = held,
        guard = guard_of(held),
        exptime = exptime,
        timeout = min(opts.timeout or DEFAULT_TIMEOUT, exptime),
        step = opts.step or DEFAULT_STEP,
        ratio = opts.ratio or DEFAULT_RATIO,
        max_step = opts.max_step or DEFAULT_MAX_STEP,
    }, mt)
end

--- Takes the lock of `key`, waiting up to `timeout`.
-- Returns the seconds spent waiting (0: it was free at once), or nil and "timeout", "locked" (this object holds a
-- lock already), "nil key", or an error of the dictionary.
function _M:lock(key)
    if key == nil then
        return nil, "nil key"
    end

    local held = self.held
    if held.key then
        return nil, "locked"
    end

    local elapsed = 0
    local token = new_token()
    local ok, err = held.dict:add(key, token, self.exptime)

    if not ok then
        if err ~= "exists" then
            return nil, err
        end

        elapsed, err = wait_for(self, key, token)
        if not elapsed then
            return nil, err
        end
    end

    held.key = key
    held.token = token

    return elapsed
end

--- Releases the lock that this object holds. Returns 1, or nil and "unlocked" (it holds none) or the dictionary's error.
function _M:unlock()
    if not self.held.key then
        return nil, "unlocked"
    end

    return release(self.held)
end

--- Lets the lock that this object holds live `time` seconds from now on (default: the object's exptime).
-- Returns true, or nil and "unlocked" (it holds none), "not found" (it has ended already), or the dictionary's error.
function _M:expire(time)
    local held = self.held
    if not held.key then
        return nil, "unlocked"
    end

    if held.dict:get(held.key) ~= held.token then
        return nil, "not found"
    end

    local ok, err = held.dict:replace(held.key, held.token, time or self.exptime)
    if not ok then
        return nil, err
    end

    return true
end

return _M
