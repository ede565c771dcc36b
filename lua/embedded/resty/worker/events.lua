--- Events between the worker processes of one nginx: `post` in one, and the callbacks of all are called, in the same order
-- everywhere. What is posted lies in a shared dictionary (see resty.worker.events.board) until the worker looks there,
-- in `poll`: from a timer, and whenever the caller wants to be up to date. With nothing new, `poll` costs one read.
--
-- A worker hears of the events that are posted after its `configure`, beginning with its own `started`. What was posted
-- before, by workers that a reload or a crash has ended, is not repeated.

local board = require "resty.worker.events.board"
local callbacks = require "resty.worker.events.callbacks"
local cjson = require("cjson.safe").new()
local reader = require "resty.worker.events.reader"
local settings_of = require "resty.worker.events.settings"

local error = error
local get_phase = ngx.get_phase
local ipairs = ipairs
local log = ngx.log
local poll = reader.poll
local setmetatable = setmetatable
local sleep = ngx.sleep
local timer_at = ngx.timer.at
local tostring = tostring
local type = type
local worker_pid = ngx.worker.pid

local ERR = ngx.ERR

local OWN_SOURCE = "resty-worker-events"

local dict, shm             -- the dictionary and its name
local settings = settings_of.defaults
local started_in            -- the pid of the process that `configure` has started
local clock = 0             -- the timer in force; an earlier one ends


local function leave(source, event, data, unique)
    if not dict then
        return nil, "worker-events is not configured"
    end
    local text, err = cjson.encode({ source = source, event = event, data = data, unique = unique, pid = worker_pid() })
    if not text then
        return nil, err
    end
    return board.leave(dict, text, settings.shm_retries)
end


local function post(source, event, data, unique)
    local id, err = leave(source, event, data, unique)
    if not id then
        err = 'failed posting event "' .. tostring(event) .. '" by "' .. tostring(source) .. '"; ' .. tostring(err)
        log(ERR, "worker-events: ", err)
        return nil, err
    end
    reader.has_posted(id)
    return true
end


local function unknown_event(_, name)
    error("event '" .. tostring(name) .. "' is an unknown event", 2)
end


local function event_list(source, ...)
    local events = { _source = source }
    for _, event in ipairs({ ... }) do
        events[event] = event
    end
    return setmetatable(events, { __index = unknown_event })
end


local own_events = event_list(OWN_SOURCE, "started", "stopping")


local function announce_stop()
    post(OWN_SOURCE, own_events.stopping)
    local ok, err = poll()
    if not ok then
        log(ERR, "worker-events: could not poll: ", err)
    end
end


local function tick(premature, my_turn)
    while clock == my_turn do
        if premature then
            return announce_stop()
        end
        local ok, err = poll()
        if not ok then
            log(ERR, "worker-events: could not poll: ", err)
        end
        ok, err = timer_at(settings.interval, tick, my_turn)
        if ok then
            return
        end
        if err == "process exiting" then
            return announce_stop()
        end
        log(ERR, "worker-events: could not create a timer, staying in this one: ", err)
        sleep(settings.interval)
    end
end


-- Starts a timer with the interval in force, which ends an earlier one.
local function start_clock()
    clock = clock + 1
    if settings.interval == 0 then
        return true
    end
    local ok, err = timer_at(0, tick, clock)
    if not ok then
        return nil, "could not create a timer: " .. err
    end
    return true
end


-- The dictionary to use, or nil and an error.
local function open(name)
    if dict and (name == nil or name == shm) then
        return dict
    end
    if dict then
        return nil, '"shm" cannot be changed from "' .. shm .. '"'
    end
    if type(name) ~= "string" then
        return nil, '"shm" is required and must be the name of a lua_shared_dict'
    end
    local opened = ngx.shared[name]
    if not opened then
        return nil, 'shm "' .. name .. '" does not exist'
    end
    return opened
end


-- In the master, whose workers are still to come, there are no timers.
local function is_worker()
    return get_phase() ~= "init"
end


local function start()
    started_in = worker_pid()
    local ok, err = start_clock()
    if not ok then
        return nil, err
    end
    return post(OWN_SOURCE, own_events.started)
end


local _M = {
    _VERSION = "2.0.0",

    --- The events of this module itself: `started` when it was configured, `stopping` when the process ends.
    events = own_events,
}


--- Puts options in force; again at any time, but for `shm`. The first time in a process its `started` is posted.
-- Called in the init phase it sets the event from which the workers hear; they call it again for timer and `started`.
-- @param opts { shm = name of a lua_shared_dict for nothing else, and what resty.worker.events.settings lists }
-- @return true, or nil and an error
function _M.configure(opts)
    if type(opts) ~= "table" then
        error("expected a table of options, got: " .. type(opts), 2)
    end
    local merged, opened, err
    merged, err = settings_of.merge(settings, opts)
    if merged then
        opened, err = open(opts.shm)
    end
    if not opened then
        return nil, err
    end
    if not dict then
        local ok
        ok, err = reader.open(opened)
        if not ok then
            return nil, err
        end
        dict, shm = opened, opts.shm
    end
    local old_interval = settings.interval
    settings = merged
    reader.set(merged)
    if started_in ~= worker_pid() and is_worker() then
        return start()
    end
    if settings.interval ~= old_interval and is_worker() then
        return start_clock()
    end
    return true
end


--- Whether `configure` has been called with success.
function _M.configured()
    return dict ~= nil
end


--- Calls the callbacks for all events that are there.
-- @return "done"; "recursive" when a poll is at work already, which will handle them; or nil and an error
_M.poll = poll


--- Posts an event to all workers, this one included. It is handled in the next `poll` of each.
-- @param data anything that can be written as JSON
-- @param unique a value: only one worker handles the event, and for `timeout` seconds no other event with the same value
-- @return true, or nil and an error
_M.post = post


--- Posts an event to this worker only. `data` can be anything, and is handed on as it is.
-- @return true
function _M.post_local(source, event, data)
    reader.post_local(source, event, data)
    return true
end


--- A table of event names: `list._source` and `list[event]`. To read any other name from it throws.
_M.event_list = event_list


--- Adds a callback(data, event, source, pid): for every event without `source`, for all of the source without events.
-- `pid` is that of the process which posted the event, nil for a local event. Throws unless it is a function.
-- Arguments: callback, source, event1, event2, ... Returns true.
_M.register = callbacks.add


--- Like `register`, but the callback goes as soon as nobody else holds it.
_M.register_weak = callbacks.add_weak


--- Takes a callback away, with the arguments with which it was registered. Returns whether it was there.
_M.unregister = callbacks.remove


return _M
