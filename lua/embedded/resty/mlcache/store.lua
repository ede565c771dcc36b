--- The second level: one lua_shared_dict, and optionally a second one for what does not exist (nil values).
--
-- A key is in at most one of the two. Reading goes by `get_stale`, which leaves expired values where they are, so that
-- they can be resurrected.

local value_text = require "resty.mlcache.value"

local decode = value_text.decode
local log = ngx.log
local max = math.max
local setmetatable = setmetatable
local WARN = ngx.WARN

-- The dictionary takes whole milliseconds, and 0 means "for ever" to it.
local SHORTEST_TTL = 0.001

-- Flag of a value that was kept beyond its life because no fresh one could be had.
local RESURRECTED = 1

local function dict_for(self, value)
    if value == nil and self.miss then
        return self.miss, self.miss_name, self.dict
    end

    return self.dict, self.name, self.miss
end

-- Returns text (nil: none), flags or error, whether it has expired.
local function find(self, key)
    local text, flags, expired = self.dict:get_stale(key)
    if not self.miss or (text ~= nil and not expired) or (text == nil and flags) then
        return text, flags, expired
    end

    local miss_text, miss_flags, miss_expired = self.miss:get_stale(key)
    if miss_text == nil and not miss_flags then
        return text, flags, expired
    end

    return miss_text, miss_flags, miss_expired
end

local function set_repeatedly(dict, key, text, ttl, flags, tries)
    local ok, err
    if ttl > 0 then
        ttl = max(ttl, SHORTEST_TTL)
    end

    for _ = 1, tries do
        ok, err = dict:set(key, text, ttl, flags)
        if ok or err ~= "no memory" then
            break
        end
    end

    return ok, err
end

local _M = { RESURRECTED = RESURRECTED }

local mt = { __index = _M }

--- name, miss_name: of the dictionaries, which exist; miss_name may be nil.
function _M.new(name, miss_name)
    return setmetatable({
        name = name,
        dict = ngx.shared[name],
        miss_name = miss_name,
        miss = miss_name and ngx.shared[miss_name],
    }, mt)
end

--- Looks a key up; an expired value counts only when `accept_expired` is true.
-- Returns found (boolean; nil and an error when it could not be read), value, seconds that remain, ttl (0: for ever),
-- has it expired, is it a resurrected one.
function _M:read(key, accept_expired)
    local text, flags, expired = find(self, key)
    if text == nil then
        if flags then
            return nil, "could not read from lua_shared_dict: " .. flags
        end

        return false
    end

    if expired and not accept_expired then
        return false
    end

    local value, err, remaining, ttl = decode(text)
    if err then
        return nil, "could not deserialize value after lua_shared_dict retrieval: " .. err
    end

    return true, value, remaining, ttl, expired, flags == RESURRECTED
end

--- Writes the text of `value` (as resty.mlcache.value encodes it). When the dictionary says "no memory", having evicted
-- as much as it may per call, tries again, `tries` times in all.
-- flags: nil or RESURRECTED
-- must: with true, "no memory" at the last try is an error; else it is logged, as the caller can do without this level.
-- Returns true, or nil and an error.
function _M:write(key, value, text, ttl, flags, tries, must)
    local dict, name, other = dict_for(self, value)
    if other then
        other:delete(key)
    end

    local ok, err = set_repeatedly(dict, key, text, ttl, flags, tries)
    if ok then
        return true
    end

    if must or err ~= "no memory" then
        return nil, "could not write to lua_shared_dict '" .. name .. "': " .. err
    end

    log(WARN, "could not write to lua_shared_dict '", name, "' after ", tries, " tries (no memory), it is either ",
        "fragmented or cannot allocate more memory, consider increasing 'opts.shm_set_tries'")

    return true
end

--- Returns true, or nil and an error.
function _M:delete(key)
    local ok, err = self.dict:delete(key)
    if ok and self.miss then
        ok, err = self.miss:delete(key)
    end

    if not ok then
        return nil, "could not delete from shm: " .. err
    end

    return true
end

--- Empties the dictionaries, those of other writers, too; with `flush_expired` their memory is given back at once.
function _M:flush(flush_expired)
    self.dict:flush_all()
    if self.miss then
        self.miss:flush_all()
    end

    if flush_expired then
        self.dict:flush_expired()
        if self.miss then
            self.miss:flush_expired()
        end
    end
end

return _M
