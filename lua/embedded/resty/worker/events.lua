--- Events between the worker processes of one nginx: `post` in one, and the callbacks of all are called, in the same order
-- everywhere. An event lies in a shared dictionary (see resty.worker.events.board) until the worker looks there,
-- in `poll`: from a timer, and whenever the caller wants to be up to date. With nothing new, `poll` costs one read.
--
-- A worker hears of the events that are posted after its `configure`, beginning with its own `started`. Events posted
-- before, by workers that a reload or a crash has ended, are not repeated.

local board = require "resty.worker.events.board"
local callbacks = require "resty.worker.events.callbacks"
local cjson = require("cjson.safe").new()
local reader = require "resty.worker.events.reader"
local settings_of = require "resty.worker.events.settings"

local error = error
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

local dict                  -- the dictionary
local settings
local pid = worker_pid()    -- of the process that the callbacks are of


local function is_name(value)
    return type(value) == "string" and value ~= ""
end


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
    if not is_name(source) then
        return nil, "source is required"
    elseif not is_name(event) then
        return nil, "event is required"
    end
    local id, err = leave(source, event, data, unique)
    if not id then
        err = 'failed posting event "' .. event .. '" by "' .. source .. '"; ' .. tostring(err)
        log(ERR, "worker-events: ", err)
        return nil, err
    end
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


local own_events = event_list("resty-worker-events", "started", "stopping")


local function announce_stop()
    post(own_events._source, own_events.stopping)
    local ok, err = poll()
    if not ok then
        log(ERR, "worker-events: could not poll: ", err)
    end
end


local function tick(premature)
    while true do
        if premature then
            return announce_stop()
        end
        local ok, err = poll()
        if not ok then
            log(ERR, "worker-events: could not poll: ", err)
        end
        ok, err = timer_at(settings.interval, tick)
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


-- The dictionary to begin with, or nil and an error.
local function open(name)
    if dict then
        return nil, name and "Already started, cannot change shm" or 'shm "nil" not found'
    end
    if not name then
        return nil, '"shm" option required to start'
    end
    local opened = ngx.shared[name]
    if not opened then
        return nil, 'shm "' .. tostring(name) .. '" not found'
    end
    return opened
end


local _M = {
    _VERSION = "2.0.0",

    --- The events of this module itself: `started` when it was configured, `stopping` when the process ends.
    events = own_events,
}


--- Begins to hear events, and posts `started`; once in each process. Callbacks that were registered in another process (in the
-- master, before it forked this one) are dropped: register after this.
-- @param opts { shm = name of a lua_shared_dict for nothing else, and what resty.worker.events.settings lists }
-- @return true, or nil and an error
function _M.configure(opts)
    if type(opts) ~= "table" then
        error("Expected a table, got " .. type(opts), 2)
    end
    if pid ~= worker_pid() then
        pid = worker_pid()
        callbacks.drop()
    end
    local opened, read, ok, err
    opened, err = open(opts.shm)
    if opened then
        read, err = settings_of.read(opts)
    end
    if read then
        ok, err = reader.open(opened, read)
    end
    if not ok then
        return nil, err
    end
    dict, settings = opened, read
    ok, err = post(own_events._source, own_events.started)
    if ok then
        ok, err = timer_at(0, tick)
    end
    if not ok then
        return nil, err
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


--- Posts an event to this worker only. `data` can be anything, and is handed on as it is. The next `poll` handles
-- it before the events of all workers.
-- @return true, or nil and an error
function _M.post_local(source, event, data)
    if not is_name(source) then
        return nil, "source is required"
    elseif not is_name(event) then
        return nil, "event is required"
    end
    reader.post_local(source, event, data)
    return true
end


--- A table of event names: `list._source` and `list[event]`. To read any other name from it throws.
_M.event_list = event_list


--- Adds a callback(data, event, source, pid): for every event without `source`, for all of the source without events.
-- `pid` is that of the process which posted the event, nil for a local event. Throws unless it is a function.
-- Arguments: callback, source, event1, event2, ... Returns nothing.
_M.register = callbacks.add


--- Like `register`, but the callback goes as soon as no other reference holds it.
_M.register_weak = callbacks.add_weak


--- Takes a callback away, with the arguments with which it was registered. Returns whether it was there.
_M.unregister = callbacks.remove


return _M
