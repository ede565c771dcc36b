--- Events between the workers of one nginx, kept in a lua_shared_dict that serves nothing else.
--
-- A broadcast takes the next index and stores its event under it; a poll runs the subscribers of every event from the
-- index where this object stopped up to the newest. The dictionary evicts the oldest events when it is full.

local error = error
local find = string.find
local ipairs = ipairs
local log = ngx.log
local min = math.min
local now = ngx.now
local pcall = pcall
local setmetatable = setmetatable
local shared = ngx.shared
local sleep = ngx.sleep
local sub = string.sub
local tonumber = tonumber
local tostring = tostring
local type = type
local update_time = ngx.update_time
local worker_pid = ngx.worker.pid
local ERR, INFO, WARN = ngx.ERR, ngx.INFO, ngx.WARN

local INDEX_KEY = "lua-resty-ipc:index"
local POLL_TIMEOUT = 0.3
local FIRST_STEP = 0.001

-- A writer takes its index and stores the event without yielding, so each process has at most one event on its way. One
-- that is missing further back than that many was evicted.
local MOST_WRITERS = 16

-- A writer that was killed in between leaves a hole for good: seconds after which no worker waits for it any longer.
local HOLE_LIFE = 0.5

-- "<pid>:<length of channel>:<channel><data>"
local function marshall(pid, channel, data)
    return pid .. ":" .. #channel .. ":" .. channel .. data
end

-- Returns pid, channel, data.
local function unmarshall(text)
    local first = find(text, ":", 1, true)
    local second = find(text, ":", first + 1, true)
    local channel_end = second + tonumber(sub(text, first + 1, second - 1))

    return tonumber(sub(text, 1, first - 1)), sub(text, second + 1, channel_end), sub(text, channel_end + 1)
end

local function run_subscribers(self, channel, data)
    local subscribers = self.callbacks[channel]
    if not subscribers then
        return
    end

    for _, subscriber in ipairs(subscribers) do
        local ok, err = pcall(subscriber, data)
        if not ok then
            log(ERR, "[ipc] callback for channel '", channel, "' threw a Lua error: ", tostring(err))
        end
    end
end

local function run_event(self, index, text)
    if type(text) ~= "string" then
        log(ERR, "[ipc] event at index '", index, "' is not a string, shm tampered with")
        return
    end

    local pid, channel, data = unmarshall(text)
    if self.debug or pid ~= worker_pid() then
        run_subscribers(self, channel, data)
    end
end

-- Sleeps in growing steps until the event is there. Returns it and the seconds slept, or nil and "timeout" or the
-- dictionary's error.
local function wait_for_event(dict, index, left)
    local step = FIRST_STEP
    local elapsed = 0

    repeat
        step = min(step, left - elapsed)
        log(INFO, "[ipc] no event data at index '", index, "', retrying in: ", step, "s")

        local slept, sleep_err = pcall(sleep, step)
        if not slept then
            log(WARN, "[ipc] could not sleep before retry: ", sleep_err, " (note: it is safer to call this function ",
                "in contexts that support the ngx.sleep() API)")
            return nil, "timeout"
        end

        elapsed = elapsed + step
        step = step * 2

        local text, err = dict:get(index)
        if text ~= nil then
            return text, elapsed
        end

        if err then
            return nil, "could not get event at index '" .. index .. "': " .. err
        end
    until left - elapsed < FIRST_STEP / 2

    return nil, "timeout"
end

-- Has the reader waited for the missing event at `index` longer than any writer needs?
local function hole_is_final(self, index)
    if self.hole ~= index then
        self.hole = index
        self.hole_since = now()
        return false
    end

    return now() - self.hole_since >= HOLE_LIFE
end

local function lose_events(self, first, last)
    log(WARN, "[ipc] events at indexes '", first, "' to '", last, "' are lost")
    self.idx = last
    self.hole = nil

    if self.on_loss then
        self.on_loss()
    end
end

-- Makes up for an event that is not there. Returns its text and the seconds waited; false when events were given up; or
-- nil and an error.
local function missing_event(self, index, newest, left)
    if newest - index >= MOST_WRITERS then
        lose_events(self, index, newest - 1)
        return false
    end

    local text, waited = wait_for_event(self.dict, index, left)
    if text ~= nil then
        return text, waited
    end

    if waited == "timeout" and hole_is_final(self, index) then
        lose_events(self, index, index)
        return false
    end

    return nil, waited
end

-- Runs the event at `index`, and moves on to it. Returns the seconds it took, or nil and an error.
local function step_to(self, index, newest, left)
    local elapsed = 0
    local text, err = self.dict:get(index)

    if text == nil then
        if err then
            return nil, "could not get event at index '" .. index .. "': " .. err
        end

        text, err = missing_event(self, index, newest, left)
        if text == nil then
            return nil, err
        end

        if self.idx >= index then
            return 0
        end

        elapsed = err
    end

    self.idx = index

    local start = now()
    run_event(self, index, text)
    update_time()

    return elapsed + now() - start
end

local _M = {}

local mt = { __index = _M }

--- Makes an object that reads from the start of what the dictionary holds.
-- shm: name of the lua_shared_dict
-- debug: with true this worker's own events run its own subscribers, too
-- Returns the object, or nil and an error.
function _M.new(shm, debug)
    local dict = shared[shm]
    if not dict then
        return nil, "no such lua_shared_dict: " .. shm
    end

    return setmetatable({
        dict = dict,
        idx = 0,
        debug = debug,
        callbacks = {},
    }, mt)
end

--- Has `callback` called with the data of every event of `channel`.
function _M:subscribe(channel, callback)
    if type(channel) ~= "string" then
        error("channel must be a string", 2)
    end

    if type(callback) ~= "function" then
        error("callback must be a function", 2)
    end

    local subscribers = self.callbacks[channel]
    if not subscribers then
        subscribers = {}
        self.callbacks[channel] = subscribers
    end

    subscribers[#subscribers + 1] = callback
end

--- Sends `data`, a string, to the subscribers of `channel` in the other workers. Returns true, or nil and an error.
function _M:broadcast(channel, data)
    if type(channel) ~= "string" then
        error("channel must be a string", 2)
    end

    if type(data) ~= "string" then
        error("data must be a string", 2)
    end

    local index, err = self.dict:incr(INDEX_KEY, 1, 0)
    if not index then
        return nil, "could not increment index: " .. err
    end

    local ok
    ok, err = self.dict:set(index, marshall(worker_pid(), channel, data))
    if not ok then
        return nil, "could not insert event in shm: " .. err
    end

    return true
end

--- Runs the subscribers of all events that this object has not seen yet.
-- timeout: seconds it may take, default 0.3
-- Returns true, or nil and "timeout" (the rest runs with the next poll) or another error.
function _M:poll(timeout)
    if timeout ~= nil and type(timeout) ~= "number" then
        error("timeout must be a number", 2)
    end

    local newest, err = self.dict:get(INDEX_KEY)
    if err then
        return nil, "could not get index: " .. err
    end

    if newest == nil or newest == self.idx then
        return true
    end

    if type(newest) ~= "number" then
        return nil, "index is not a number, shm tampered with"
    end

    if newest < self.idx then
        self.idx = newest
        return true
    end

    local left = timeout or POLL_TIMEOUT

    repeat
        local took
        took, err = step_to(self, self.idx + 1, newest, left)
        if not took then
            return nil, err
        end

        left = left - took
        if left <= 0 and self.idx < newest then
            return nil, "timeout"
        end
    until self.idx >= newest

    return true
end

return _M
