--- A cache of three levels: the worker's own memory (L1, a resty.lrucache), a dictionary shared by all workers (L2), and
-- a callback that only one worker at a time runs for a key (L3, under a resty.lock).
--
-- Offers the interface of lua-resty-mlcache 2.5.0. A value is a number, string, boolean, table or nil; nil is cached, too.
-- set(), delete() and purge() tell the other workers through a channel (`ipc_shm` or `ipc`), and these act on it when they
-- call update().

local bulks = require "resty.mlcache.bulk"
local events = require "resty.mlcache.events"
local levels = require "resty.mlcache.levels"
local lrucache = require "resty.lrucache"
local options = require "resty.mlcache.options"
local stores = require "resty.mlcache.store"
local value_text = require "resty.mlcache.value"

local error = error
local get_from_l1 = levels.get_from_l1
local get_from_l2 = levels.get_from_l2
local get_from_l3 = levels.get_from_l3
local put = levels.put
local setmetatable = setmetatable
local settings_of = options.settings
local shared = ngx.shared
local supports = value_text.supports
local type = type

local DEFAULT_LRU_SIZE = 100
local DEFAULT_TTL = 30
local DEFAULT_NEG_TTL = 5
local DEFAULT_SHM_SET_TRIES = 3

-- The level of what is nowhere.
local MISS = -1

-- The first levels of this worker by name; each lives as long as an instance that uses it.
local lru_by_name = setmetatable({}, { __mode = "v" })

local function lru_for(name, size)
    local lru = lru_by_name[name]
    if not lru then
        lru = lrucache.new(size)
        lru_by_name[name] = lru
    end

    return lru
end

local _M = {
    _VERSION = "2.5.0",
    new_bulk = bulks.new,
    each_bulk_res = bulks.each_result,
}

local mt = { __index = _M }

--- Makes an instance. Instances of one name share their values, those of different names do not.
-- name: text
-- shm: name of the lua_shared_dict that is the second level
-- opts: nil or a table of options, times in seconds (0: for ever):
--   lru_size (100), lru (a resty.lrucache to use instead), ttl (30), neg_ttl (5, of nil), resurrect_ttl (none),
--   shm_set_tries (3), shm_miss, shm_locks (names of dictionaries for nil values, for locks), resty_lock_opts,
--   l1_serializer (function: value -> what the first level keeps, or nil and an error),
--   ipc_shm (name of a dictionary) or ipc ({ register_listeners = function(events), broadcast = function(channel, data),
--   poll = function(timeout) or nil }), debug (true: log how get_bulk() spreads, and receive one's own events)
-- Returns the instance, or nil and an error; throws when an argument is wrong.
function _M.new(name, shm, opts)
    local err = options.new_error(name, shm, opts)
    if err then
        error(err, 2)
    end

    opts = opts or {}
    err = options.dict_error(shm, opts)
    if err then
        return nil, err
    end

    local self = setmetatable({
        name = name,
        shm = shm,
        dict = shared[shm],
        store = stores.new(shm, opts.shm_miss),
        lru = opts.lru or lru_for(name, opts.lru_size or DEFAULT_LRU_SIZE),
        ttl = opts.ttl or DEFAULT_TTL,
        neg_ttl = opts.neg_ttl or DEFAULT_NEG_TTL,
        resurrect_ttl = opts.resurrect_ttl,
        shm_miss = opts.shm_miss,
        shm_locks = opts.shm_locks,
        shm_set_tries = opts.shm_set_tries or DEFAULT_SHM_SET_TRIES,
        resty_lock_opts = opts.resty_lock_opts,
        l1_serializer = opts.l1_serializer,
        debug = opts.debug,
    }, mt)

    local ok
    ok, err = events.connect(self, opts)
    if not ok then
        return nil, err
    end

    return self
end

--- Looks `key` up in the first level, in the second, and runs `callback(...)` when neither has it.
-- opts: nil or a table of options for this call: ttl, neg_ttl, resurrect_ttl, shm_set_tries, l1_serializer
-- callback: nil, or a function that returns value, error, ttl (negative: do not cache; not a number: ignored)
-- Returns value, error, level: 1, 2, 3, 4 (a stale value, as no fresh one could be had), or -1 (nothing there and no
-- callback). Throws when an argument is wrong.
function _M:get(key, opts, callback, ...)
    if type(key) ~= "string" then
        error("key must be a string", 2)
    end

    if callback ~= nil and type(callback) ~= "function" then
        error("callback must be nil or a function", 2)
    end

    local value, _, level = get_from_l1(self, key)
    if level then
        return value, nil, level
    end

    local settings, err = settings_of(self, opts)
    if not settings then
        error(err, 2)
    end

    local stale, stale_value
    value, err, level, stale, stale_value = get_from_l2(self, key, settings)
    if level or err then
        return value, err, level
    end

    if not callback then
        return nil, nil, MISS
    end

    -- No tail call: an error there should name this place.
    value, err, level = get_from_l3(self, key, settings, stale, stale_value, callback, ...)

    return value, err, level
end

--- Looks up all that `bulk` lists (see new_bulk), running the callbacks that are needed side by side.
-- opts: nil or { concurrency = most light threads, default 3 }
-- Returns the results (see each_bulk_res), or nil and an error; throws when an argument is wrong.
function _M:get_bulk(bulk, opts)
    local err = bulks.arguments_error(bulk, opts)
    if err then
        error(err, 2)
    end

    local settings
    settings, err = bulks.all_settings(self, bulk)
    if not settings then
        error(err, 2)
    end

    return bulks.get(self, bulk, settings, opts and opts.concurrency)
end

--- Looks `key` up in the second level only, and changes nothing.
-- stale: with true, a value that has run out counts
-- Returns seconds that remain (negative: it ran out, or never does and was written so long ago), error, value, has it run
-- out; all nil when it is not there.
function _M:peek(key, stale)
    if type(key) ~= "string" then
        error("key must be a string", 2)
    end

    local found, value, remaining, _, expired = self.store:read(self.name .. key, stale)
    if not found then
        return nil, value
    end

    return remaining, nil, value, expired
end

--- Stores `value` in both levels, and has the other workers drop what they have. opts: as of get().
-- Returns true, or nil and an error; throws when an argument is wrong.
function _M:set(key, opts, value)
    if not self.broadcast then
        error("no ipc to propagate update, specify opts.ipc_shm or opts.ipc", 2)
    end

    if type(key) ~= "string" then
        error("key must be a string", 2)
    end

    local settings, err = settings_of(self, opts)
    if not settings then
        error(err, 2)
    end

    if not supports(value) then
        error("cannot cache value of type " .. type(value), 2)
    end

    local _
    _, err = put(self, key, value, value == nil and settings.neg_ttl or settings.ttl, settings, nil, true)
    if err then
        return nil, err
    end

    _, err = self.broadcast(self.events.invalidation.channel, key)
    if err then
        return nil, "could not broadcast update: " .. err
    end

    return true
end

--- Removes `key` from both levels, and from the first level of the other workers. Returns true, or nil and an error.
function _M:delete(key)
    if not self.broadcast then
        error("no ipc to propagate deletion, specify opts.ipc_shm or opts.ipc", 2)
    end

    if type(key) ~= "string" then
        error("key must be a string", 2)
    end

    local ok, err = self.store:delete(self.name .. key)
    if not ok then
        return nil, err
    end

    self.lru:delete(key)

    local _
    _, err = self.broadcast(self.events.invalidation.channel, key)
    if err then
        return nil, "could not broadcast deletion: " .. err
    end

    return true
end

--- Empties both levels, and the first level of the other workers. The second is emptied of what other names have in the
-- same dictionary, too; with `flush_expired` true its memory is given back at once.
-- Returns true, or nil and an error.
function _M:purge(flush_expired)
    if not self.broadcast then
        error("no ipc to propagate purge, specify opts.ipc_shm or opts.ipc", 2)
    end

    if not self.lru.flush_all then
        error("cannot purge when using custom LRU cache without flush_all()", 2)
    end

    self.store:flush(flush_expired)
    self.lru:flush_all()

    local _, err = self.broadcast(self.events.purge.channel, "")
    if err then
        return nil, "could not broadcast purge: " .. err
    end

    return true
end

--- Drops from the first level what other workers have changed. timeout: seconds it may take (ipc_shm: default 0.3).
-- Returns true, or nil and an error.
function _M:update(timeout)
    local poll = self.poll
    if not poll then
        error("no polling configured, specify opts.ipc_shm or opts.ipc.poll", 2)
    end

    local _, err = poll(timeout)
    if err then
        return nil, "could not poll ipc events: " .. err
    end

    return true
end

return _M
