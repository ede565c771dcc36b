--- Connects an instance of `resty.mlcache` to the channel over which workers tell each other what they have changed.

local mlcache_ipc = require "resty.mlcache.ipc"

local pairs = pairs

-- The events of the channel: name -> { channel, handler = function(data) }.
local function events_of(cache)
    local lru = cache.lru

    return {
        invalidation = {
            channel = "mlcache:invalidations:" .. cache.name,
            handler = function(key)
                lru:delete(key)
            end,
        },
        purge = {
            channel = "mlcache:purge:" .. cache.name,
            handler = function()
                lru:flush_all()
            end,
        },
    }
end

local function connect_bundled(cache, shm, debug)
    local ipc, err = mlcache_ipc.new(shm, debug)
    if not ipc then
        return nil, "failed to initialize mlcache IPC (could not instantiate mlcache.ipc): " .. err
    end

    for _, event in pairs(cache.events) do
        ipc:subscribe(event.channel, event.handler)
    end

    -- The keys of lost events are unknown.
    ipc.on_loss = cache.events.purge.handler

    cache.ipc = ipc

    function cache.broadcast(channel, data)
        return ipc:broadcast(channel, data)
    end

    function cache.poll(timeout)
        return ipc:poll(timeout)
    end

    return true
end

local function connect_custom(cache, ipc)
    cache.broadcast = ipc.broadcast
    cache.poll = ipc.poll

    local _, err = ipc.register_listeners(cache.events)
    if err ~= nil then
        return nil, "failed to initialize custom IPC (opts.ipc.register_listeners returned an error): " .. err
    end

    return true
end

local _M = {}

--- Gives `cache` its fields `events`, `broadcast`, `poll` and, with the bundled channel, `ipc`, as far as the options
-- ask for a channel. Returns true, or nil and an error.
function _M.connect(cache, opts)
    if not opts.ipc_shm and not opts.ipc then
        return true
    end

    cache.events = events_of(cache)

    if opts.ipc_shm then
        return connect_bundled(cache, opts.ipc_shm, opts.debug)
    end

    return connect_custom(cache, opts.ipc)
end

return _M
