--- The three caches that requests read the policy from: `rule_cache`, `cert_cache` and `backend_cache`.
--
--     L1  this worker's LRU: what requests work with (index, groups, parsed certificate)
--     L2  the shared dictionary of the same name: JSON text, all workers
--     L3  the shelf, where the reader puts the policy in force
--
-- A read goes 1, 2, 3, and returns the level as its third value; on the way up `gateway.assembly` makes the value of the text.
-- What changed is deleted through the cache's own delete, which broadcasts on the channel of the workers.
--
-- Two things are added to what the cache does by itself:
--
-- * One request per worker fetches a new value; those that come meanwhile are served by the one before (level 4), so that
--   making the index of a large policy delays nobody but one. Where there is none before, they wait.
-- * Each value has a *stamp* that the shelf knows too. It is compared when a value was fetched and then each second: an event
--   that was lost, or a callback that overlapped a delete, cannot leave an old value in force for longer than that.

local assembly = require "gateway.assembly"
local channel = require "gateway.channel"
local dictionary = require "gateway.dictionary"
local mlcache = require "resty.mlcache"
local shelf_module = require "gateway.shelf"
local slice = require "gateway.slice"

local WARN = ngx.WARN
local error = error
local log = ngx.log
local now = ngx.now
local pairs = pairs
local sleep = ngx.sleep

-- Seconds a request waits for the first policy after the start, and for another's fetching.
local PATIENCE = 2
-- Seconds after which a fetch that did not come back (its request was aborted) is no longer waited for.
local FETCH_LIMIT = 5
-- Seconds without another try after a fetch that failed.
local PAUSE = 0.1
local POLL = 0.01
local FETCH_TRIES = 2
local STRIDE = 512

-- A lock's holder may be killed: others then wait for `exptime` at most.
local LOCK = { exptime = 1, timeout = 5, step = 0.001, ratio = 2, max_step = 0.02 }

local GROUPS = shelf_module.GROUPS

local SPECIFICATIONS = {
    rules = { dictionary = "rule_cache", size = 1024, assemble = assembly.index },
    certificates = { dictionary = "cert_cache", size = 4096, assemble = assembly.certificate },
    groups = { dictionary = "backend_cache", size = 16, assemble = assembly.groups },
}

local shelf
local settled = false
local await_until
local stores = {}


-- Text of a key from the shelf: the L3 callback of all three caches.
local function read_shelf(key)
    return shelf:text(key)
end


-- The cache's own listeners, and after each of them `forget(key)`, with nil for all keys.
local function ipc_of(forget)
    return {
        register_listeners = function(events)
            for _, event in pairs(events) do
                channel.listen(event.channel, function(key)
                    event.handler(key)
                    forget(key ~= "" and key or nil)
                end)
            end
        end,
        broadcast = channel.broadcast,
        poll = channel.poll,
    }
end


local function new_cache(specification, forget)
    local name = dictionary(specification.dictionary)
    local cache, err = mlcache.new(name, name, {
        lru_size = specification.size,
        ttl = 0,
        neg_ttl = 2,
        shm_locks = dictionary("locks"),
        resty_lock_opts = LOCK,
        ipc = ipc_of(forget),
        l1_serializer = function(text)
            return specification.assemble(shelf, text)
        end,
    })
    if not cache then
        return nil, "could not make the cache '" .. name .. "': " .. err
    end
    return cache
end


-- cache: the mlcache. held: stamps of what L1 has, by key (false: it knows that there is nothing). last: the value served
-- last, by key. fetching: until when others leave the fetching of a key to the one who is at it.
local function new_store(specification)
    local store = { held = {}, last = {}, fetching = {} }
    local err
    store.cache, err = new_cache(specification, function(key)
        if key then
            store.held[key] = nil
        else
            store.held = {}
        end
    end)
    if not store.cache then
        return nil, err
    end
    return store
end


-- While no policy was ever read, requests wait for the reader, which may be another worker: until PATIENCE after the first that does.
local function await_reader()
    await_until = await_until or now() + PATIENCE
    while not shelf:is_settled() and now() < await_until do
        sleep(POLL)
    end
    settled = shelf:is_settled()
end


-- Whether what was fetched is what the shelf has.
local function is_current(key, value)
    return shelf:stamp(key) == (value and value.stamp)
end


-- Gets a value through the levels and makes sure that it is the one in force.
local function get_current(store, key)
    local cache = store.cache
    local value, err, level
    for _ = 1, FETCH_TRIES do
        value, err, level = cache:get(key, nil, read_shelf, key)
        if not err and is_current(key, value) then
            return value, nil, level
        end
        local ok, problem = cache:delete(key)
        if not ok then
            return nil, problem
        end
    end
    return value, err, level
end


-- What is served when fetching failed: the value before, and a while without another try.
local function fall_back(store, key, err)
    local last = store.last[key]
    if last == nil then
        return nil, err
    end
    log(WARN, "could not fetch '", key, "', the one before stays for now: ", err)
    store.fetching[key] = now() + PAUSE
    return last, nil, 4
end


local function fetch(store, key)
    if not settled then
        await_reader()
    end
    store.fetching[key] = now() + FETCH_LIMIT
    local value, err, level = get_current(store, key)
    store.fetching[key] = nil
    if err then
        return fall_back(store, key, err)
    end
    store.held[key] = value and value.stamp or false
    store.last[key] = value
    return value, nil, level
end


-- Whether another request of this worker fetches the key.
local function is_fetching(store, key)
    local until_when = store.fetching[key]
    return until_when ~= nil and until_when > now()
end


local function take(store, key)
    if store.held[key] ~= nil then
        -- Not a tail call: LuaJIT could not translate this function by itself.
        local value, err, level = store.cache:get(key, nil, read_shelf, key)
        if level == 1 or (not err and is_current(key, value)) then
            return value, err, level
        end
        -- It is not in L1 any more, and what L2 has is not what is in force.
        store.held[key] = nil
    end
    local patience_ends = now() + FETCH_LIMIT
    while is_fetching(store, key) and now() < patience_ends do
        local last = store.last[key]
        if last ~= nil then
            return last, nil, 4
        end
        -- The first value of all is made once, too.
        sleep(POLL)
    end
    return fetch(store, key)
end


-- The keys that a store knows, in a list of their own: while one walks through it and waits, others change the store.
local function known_keys(store)
    local held, keys = store.held, {}
    for key in pairs(held) do
        keys[#keys + 1] = key
    end
    for key in pairs(store.last) do
        if held[key] == nil then
            keys[#keys + 1] = key
        end
    end
    return keys
end


local function check_key(store, key)
    local held, stamp = store.held[key], shelf:stamp(key) or false
    if not stamp then
        -- Nobody may ever ask for it again.
        store.last[key] = nil
    end
    if held == nil or held == stamp then
        return true
    end
    store.held[key] = nil
    return store.cache:delete(key)
end


local function check_store(store, stretch)
    local keys = known_keys(store)
    for i = 1, #keys do
        local ok, err = check_key(store, keys[i])
        if not ok then
            return nil, err
        end
        if i % STRIDE == 0 then
            stretch:pause()
        end
    end
    return true
end


local _M = {}


--- Makes the caches of this process and joins the channel; called in init_worker. Throws when nginx.conf lacks a dictionary.
function _M.start()
    shelf = shelf_module.open()
    local ok, err = channel.start()
    if not ok then
        error(err)
    end
    for name, specification in pairs(SPECIFICATIONS) do
        stores[name], err = new_store(specification)
        if not stores[name] then
            error(err)
        end
    end
end


--- Runs the events that this worker has not seen yet; every request begins with it.
-- @return true, or nil, err
function _M.update()
    return channel.poll()
end


--- The rules of a port. May wait; not to be called in the balancer, filter and log phases.
-- @param port_key "http_tcp_80"
-- @return index; or nil when the port has no rules; or nil, err. Third value: level 1, 2, 3, or 4 for the value before this one
function _M.rules(port_key)
    return take(stores.rules, port_key)
end


--- The backend groups in force. May wait, like `rules`.
-- @return { list, by_name, stamp }, the same table for as long as no group changes; or nil when there was never a policy;
--         or nil, err. Third value: the level
function _M.groups()
    return take(stores.groups, GROUPS)
end


--- The certificate of a name, without any search for wildcards. May wait, like `rules`.
-- @param domain in lower case, or a port's number as text
-- @return { chain, key } for ngx.ssl; or nil when the policy has none of that name; or nil, err. Third value: the level
function _M.certificate(domain)
    local store = stores.certificates
    if not settled then
        await_reader()
    end
    -- Names come from clients, who can make up any number of them: what the policy does not have never enters a cache.
    if not shelf:stamp(domain) or (store.held[domain] == nil and shelf_module.is_reserved(domain)) then
        store.last[domain] = nil
        return nil, nil, 3
    end
    return take(store, domain)
end


--- Whether any policy was ever taken over.
function _M.has_policy()
    return shelf:generation() ~= nil
end


--- Tells all workers that a key is to be read anew.
-- @param which "rules", "groups" or "certificates"
-- @return true, or nil, err
function _M.invalidate(which, key)
    return stores[which].cache:delete(key)
end


--- Tells all workers that every key of a cache is to be read anew.
-- @return true, or nil, err
function _M.invalidate_all(which)
    return stores[which].cache:purge()
end


--- Compares what this worker holds with the shelf and lets go what is old; each worker does it each second.
-- @return true, or nil, err
function _M.check()
    local stretch = slice.new()
    for _, store in pairs(stores) do
        local ok, err = check_store(store, stretch)
        if not ok then
            return nil, err
        end
    end
    return true
end


return _M
