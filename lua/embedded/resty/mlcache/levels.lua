--- The work of `resty.mlcache` when the first level has nothing: read the second, run the callback, store its value.
--
-- `cache` is an instance; `settings` are those of the call (see resty.mlcache.options). Where a function returns value,
-- error, level, a level that is nil without an error means "not there".

local resty_lock = require "resty.lock"
local stores = require "resty.mlcache.store"
local value_text = require "resty.mlcache.value"

local encode = value_text.encode
local error = error
local log = ngx.log
local pcall = pcall
local supports = value_text.supports
local tostring = tostring
local traceback = debug.traceback
local type = type
local xpcall = xpcall
local WARN = ngx.WARN

local LOCK_PREFIX = "lua-resty-mlcache:lock:"
local LOCK_TIMEOUT = "could not acquire callback lock: timeout"

local FROM_L1 = 1
local FROM_L2 = 2
local FROM_L3 = 3
local FROM_STALE = 4

-- Stands for nil in the first level.
local NOTHING = {}

-- The first level's form of `value`: NOTHING, the value, or what the serializer makes of it.
-- Returns nil and an error when the serializer fails.
local function serialized(value, serializer)
    if value == nil then
        return NOTHING
    end

    if not serializer then
        return value
    end

    local ok, object, err = pcall(serializer, value)
    if not ok then
        return nil, "l1_serializer threw an error: " .. tostring(object)
    end

    if err then
        return nil, err
    end

    if object == nil then
        return nil, "l1_serializer returned a nil value"
    end

    return object
end

-- The value that an object of the first level stands for.
local function value_of(object)
    if object == NOTHING then
        return nil
    end

    return object
end

-- Puts an object that serialized() made into the first level for `remaining` of `ttl` seconds (0: for ever, which the first
-- level is told by nil). Returns the value.
local function keep(lru, key, object, remaining, ttl)
    lru:set(key, object, ttl ~= 0 and remaining or nil)

    return value_of(object)
end

-- Stores a value in the second and the first level for `ttl` seconds. Returns the value as the first level has it, or nil
-- and an error.
local function put(cache, key, value, ttl, settings, flags, must)
    -- Encoded first: a serializer may change the table that it is given.
    local text, err = encode(value, ttl)
    if not text then
        return nil, "could not serialize value for lua_shared_dict insertion: " .. err
    end

    local object
    object, err = serialized(value, settings.l1_serializer)
    if object == nil then
        return nil, err
    end

    local ok
    ok, err = cache.store:write(cache.name .. key, value, text, ttl, flags, settings.shm_set_tries, must)
    if not ok then
        return nil, err
    end

    return keep(cache.lru, key, object, ttl, ttl)
end

-- Should an expired value stand in for one that cannot be had? (A resurrect_ttl of 0 counts as none: it would keep the
-- value for ever.)
local function wants_stale(settings)
    return settings.resurrect_ttl ~= nil and settings.resurrect_ttl > 0
end

-- Returns value, error, level, and then, when the level is nil: has an expired value been found, and which. It must be
-- taken now: when the dictionary is written to, be it a lock that is taken, it drops what has expired.
local function get_from_l2(cache, key, settings)
    local found, value, remaining, ttl, expired, resurrected = cache.store:read(cache.name .. key, wants_stale(settings))
    if not found then
        return nil, value
    end

    if expired then
        return nil, nil, nil, true, value
    end

    if ttl ~= 0 and remaining <= 0 then
        -- Its last millisecond: the first level would have it no longer, or for ever.
        return value, nil, resurrected and FROM_STALE or FROM_L2
    end

    local object, err = serialized(value, settings.l1_serializer)
    if object == nil then
        return nil, err
    end

    return keep(cache.lru, key, object, remaining, ttl), nil, resurrected and FROM_STALE or FROM_L2
end

-- The callback returned an error: gives the expired value `resurrect_ttl` more seconds. Returns value, error, level.
local function resurrect(cache, key, settings, stale_value, callback_error)
    log(WARN, "callback returned an error (", callback_error, ") but stale value found in shm will be resurrected for ",
        settings.resurrect_ttl, "s (resurrect_ttl)")

    local value, err = put(cache, key, stale_value, settings.resurrect_ttl, settings, stores.RESURRECTED)
    if err then
        return nil, err
    end

    return value, nil, FROM_STALE
end

-- Another caller runs the callback, for longer than this one may wait. Returns value, error, level.
local function get_without_lock(cache, key, settings, stale, stale_value)
    local value, err, level = get_from_l2(cache, key, settings)
    if level or err then
        return value, err, level
    end

    if not stale then
        return nil, LOCK_TIMEOUT
    end

    local object
    object, err = serialized(stale_value, settings.l1_serializer)
    if object == nil then
        return nil, err
    end

    log(WARN, LOCK_TIMEOUT)

    return value_of(object), nil, FROM_STALE
end

-- Called under the lock. Returns value, error, level, and fourth a value that cannot be cached.
local function run_callback(cache, key, settings, stale, stale_value, callback, ...)
    local value, err, level = get_from_l2(cache, key, settings)
    if level or err then
        return value, err, level
    end

    local ok, ttl
    ok, value, err, ttl = xpcall(callback, traceback, ...)
    if not ok then
        return nil, "callback threw an error: " .. tostring(value)
    end

    if err then
        err = tostring(err)
        if not stale then
            return value, err
        end

        return resurrect(cache, key, settings, stale_value, err)
    end

    if type(ttl) ~= "number" then
        ttl = value == nil and settings.neg_ttl or settings.ttl
    end

    if ttl < 0 then
        return value, nil, FROM_L3
    end

    if not supports(value) then
        return nil, nil, nil, value
    end

    value, err = put(cache, key, value, ttl, settings)
    if err then
        return nil, err
    end

    return value, nil, FROM_L3
end

local _M = {
    put = put,
    get_from_l2 = get_from_l2,
}

--- Looks `key` up in the first level. Returns value, nil, level.
function _M.get_from_l1(cache, key)
    local object = cache.lru:get(key)
    if object == nil then
        return nil
    end

    return value_of(object), nil, FROM_L1
end

--- Runs the callback, unless another worker has done so meanwhile. Returns value, error, level; throws, in the name of
-- the caller, when the callback returns a value that cannot be cached.
-- stale, stale_value: as get_from_l2() returned them
function _M.get_from_l3(cache, key, settings, stale, stale_value, callback, ...)
    local lock, err = resty_lock:new(cache.shm_locks or cache.shm, cache.resty_lock_opts)
    if not lock then
        return nil, "could not create lock: " .. err
    end

    local elapsed
    elapsed, err = lock:lock(LOCK_PREFIX .. cache.name .. key)
    if not elapsed then
        if err == "timeout" then
            return get_without_lock(cache, key, settings, stale, stale_value)
        end

        return nil, "could not acquire callback lock: " .. err
    end

    local value, problem, level, unsupported = run_callback(cache, key, settings, stale, stale_value, callback, ...)

    local ok
    ok, err = lock:unlock()
    if not ok then
        log(WARN, "could not unlock callback: ", err)
    end

    if unsupported ~= nil then
        error("cannot cache value of type " .. type(unsupported), 2)
    end

    return value, problem, level
end

return _M
