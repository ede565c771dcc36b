--- One of the three caches, as a worker has it: an mlcache, and what the worker knows of the values in it.
--
-- Three things are added to what mlcache does by itself:
--
-- * One request per worker fetches a new value; those that come meanwhile are served by the one before (level 4), so that
--   making the index of a large policy delays one request alone. They are for some tenths of a second; then, and where there is none
--   before, they wait.
-- * A dropped value is fetched by a timer, unless a request comes first: a worker without requests is up to date, too.
-- * Each value has a *stamp* that the shelf knows too. It is compared when a value was fetched and then each policy_interval: an
--   event that was lost, or a callback that overlapped a delete, cannot leave an old value in force for longer than that.
--
--     cache      the mlcache
--     held       by key, the stamp of what L1 has; false: it knows that there is nothing
--     last       by key, the value served last; it stays for as long as the policy has the key, so that L1's size bounds nothing
--     old_since  by key, when this worker learnt that the value in `last` is old
--     fetching   by key, until when others leave the fetching to the one who is at it

local channel = require "gateway.channel"
local dictionary = require "gateway.dictionary"
local mlcache = require "resty.mlcache"
local slice = require "gateway.slice"

local WARN = ngx.WARN
local log = ngx.log
local next = next
local now = ngx.now
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable
local sleep = ngx.sleep
local timer_at = ngx.timer.at
local tostring = tostring

-- Seconds for which a value may be served that is known to be old.
local MOST_AGE = 0.4
-- Seconds after which a fetch that did not come back (its request was aborted) is no longer waited for.
local FETCH_LIMIT = 30
local FETCH_TRIES = 2
-- Seconds without another try after a fetch that failed.
local PAUSE = 0.1
-- Seconds between two looks at whether another's fetch is over.
local POLL = 0.01

-- A lock's holder may be killed: others then wait for `exptime` at most.
local LOCK = { exptime = 1, timeout = 5, step = 0.001, ratio = 2, max_step = 0.02 }


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


local function new_cache(specification, shelf, forget)
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


-- Whether a value is what the shelf has.
local function is_current(self, key, value)
    return self.shelf:stamp(key) == (value and value.stamp)
end


-- Gets a value through the levels and makes sure that it is the one in force.
local function get_current(self, key)
    local cache = self.cache
    local value, err, level
    for _ = 1, FETCH_TRIES do
        value, err, level = cache:get(key, nil, self.read, key)
        if not err and is_current(self, key, value) then
            return value, nil, level
        end
        local ok, problem = cache:delete(key)
        if not ok then
            return nil, problem
        end
    end
    return value, err, level
end


-- Serves, when fetching failed, the value before, and a while without another try.
local function fall_back(self, key, err)
    local last = self.last[key]
    if last == nil then
        return nil, err
    end
    log(WARN, "could not fetch '", key, "', the one before stays for now: ", err)
    self.fetching[key] = now() + PAUSE
    return last, nil, 4
end


local function fetch(self, key)
    self.fetching[key] = now() + FETCH_LIMIT
    local ok, value, err, level = pcall(get_current, self, key)
    self.fetching[key] = nil
    if not ok or err then
        return fall_back(self, key, ok and err or tostring(value))
    end
    self.last[key] = value
    if is_current(self, key, value) then
        self.held[key] = value and value.stamp or false
        self.old_since[key] = nil
    else
        -- The policy changes faster than its values are made.
        self:drop(key)
    end
    return value, nil, level
end


-- Whether another request of this worker fetches the key.
local function is_fetching(self, key)
    local until_when = self.fetching[key]
    return until_when ~= nil and until_when > now()
end


-- The value to serve while another request fetches, or nil.
local function value_before(self, key)
    local since = self.old_since[key]
    if since and now() - since > MOST_AGE then
        return nil
    end
    return self.last[key]
end


-- Gets a value when L1 has none that is known to be in force.
local function take_anew(self, key)
    self.await()
    local patience_ends = now() + FETCH_LIMIT
    while is_fetching(self, key) and now() < patience_ends do
        local before = value_before(self, key)
        if before ~= nil then
            return before, nil, 4
        end
        sleep(POLL)
        if self.held[key] ~= nil then
            local value, err, level = self.cache:get(key, nil, self.read, key)
            return value, err, level
        end
    end
    return fetch(self, key)
end


-- Fetches the values that were dropped and are known to be asked for.
local function renew(premature, self)
    self.is_renewing = false
    local pause = slice.pauser()
    local keys = premature and {} or self:old_keys()
    for i = 1, #keys do
        if not is_fetching(self, keys[i]) and self.old_since[keys[i]] then
            fetch(self, keys[i])
        end
        pause()
    end
end


local _M = {}
local mt = { __index = _M }


--- @param specification { dictionary = its name, size = of L1, in values, assemble = function(shelf, text) -> value with a stamp }
-- @param shelf that L3 reads
-- @param await function that waits until there is something to fetch
-- @return store; or nil, err
function _M.new(specification, shelf, await)
    local self = setmetatable({ shelf = shelf, await = await, held = {}, last = {}, old_since = {}, fetching = {} }, mt)
    self.read = function(key)
        return shelf:text(key)
    end
    local err
    self.cache, err = new_cache(specification, shelf, function(key)
        self:drop(key)
    end)
    if not self.cache then
        return nil, err
    end
    return self
end


--- The value of a key. May wait.
-- @return value or nil; or nil, err. Third value: the level
function _M:take(key)
    if self.held[key] ~= nil then
        -- Not a tail call: LuaJIT could not translate this function by itself.
        local value, err, level = self.cache:get(key, nil, self.read, key)
        if level == 1 or (not err and is_current(self, key, value)) then
            return value, err, level
        end
        -- It is not in L1 any more, and what L2 has is not what is in force.
        self:drop(key)
    end
    return take_anew(self, key)
end


--- Notes that what this worker has is old, of one key or of all, and has it fetched.
function _M:drop(key)
    local keys = key and { key } or self:keys()
    for i = 1, #keys do
        self.held[keys[i]] = nil
        if self.last[keys[i]] ~= nil then
            self.old_since[keys[i]] = self.old_since[keys[i]] or now()
        end
    end
    if not self.is_renewing and next(self.old_since) then
        -- Without a timer the next request does it.
        self.is_renewing = timer_at(0, renew, self) ~= nil
    end
end


--- The keys whose value is old, in a list of their own.
function _M:old_keys()
    local keys = {}
    for key in pairs(self.old_since) do
        keys[#keys + 1] = key
    end
    return keys
end


--- Tells all workers that a key is to be read anew.
-- @return true, or nil, err
function _M:delete(key)
    return self.cache:delete(key)
end


--- Tells all workers that every key is to be read anew.
-- @return true, or nil, err
function _M:purge()
    return self.cache:purge()
end


--- The keys that this worker knows, in a list of their own: while one walks through it and waits, others change the store.
function _M:keys()
    local held, keys = self.held, {}
    for key in pairs(held) do
        keys[#keys + 1] = key
    end
    for key in pairs(self.last) do
        if held[key] == nil then
            keys[#keys + 1] = key
        end
    end
    return keys
end


--- Compares what is held of a key with the shelf, and lets it go when it is old.
-- @return true, or nil, err
function _M:check(key)
    local held, stamp = self.held[key], self.shelf:stamp(key) or false
    if not stamp then
        -- Perhaps no request asks for it again.
        self.last[key], self.old_since[key] = nil, nil
    end
    if held == nil or held == stamp then
        return true
    end
    self:drop(key)
    return self.cache:delete(key)
end


return _M
