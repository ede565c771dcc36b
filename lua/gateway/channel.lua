--- The channel between the workers: worker-events, in the shape that the caches ask of their `ipc` option.

local dictionary = require "gateway.dictionary"
local worker_events = require "resty.worker.events"

local SOURCE = "gateway"

local OPTIONS = {
    shm = dictionary("events"),
    timeout = 5,
    -- A request polls before it reads, so the timer matters only to workers without requests.
    interval = 0.2,
    -- A process that was killed between taking an event's number and writing its data must not hold the others up for long.
    wait_interval = 0.005,
    wait_max = 0.1,
    shm_retries = 999,
}

local listeners = {}


-- One handler for all of the gateway's events: the caches' own listeners, each under the name of its event.
local function dispatch(data, event)
    local handlers = listeners[event]
    if handlers then
        for i = 1, #handlers do
            handlers[i](data)
        end
    end
end


local _M = {}


--- Joins the channel; called once in each process, before the first cache is made.
-- @return true, or nil and why not
function _M.start()
    local ok, err = worker_events.configure(OPTIONS)
    if not ok then
        return nil, "could not join the channel of the workers: " .. err
    end
    -- Not before: `configure` drops what was registered in another process, and the module was loaded in the master.
    worker_events.register(dispatch, SOURCE)
    return true
end


--- Calls `handler(data)` for each event of this name, from any worker.
function _M.listen(event, handler)
    local handlers = listeners[event] or {}
    handlers[#handlers + 1] = handler
    listeners[event] = handlers
end


--- Runs the events that this worker has not seen yet; one read of shared memory when there are none.
-- @return true, or nil and why not
_M.poll = worker_events.poll


--- Sends an event to all workers, this one included.
-- @return true, or nil and why not
function _M.broadcast(event, data)
    local ok, err = worker_events.post(SOURCE, event, data)
    if not ok then
        return nil, err
    end
    return true
end


return _M
