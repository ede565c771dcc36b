--- A worker that writes down the events it hears of, for the tests of resty.worker.events.

local events = require "resty.worker.events"

local SOURCE = "test"
local NEVER = 3600

local heard = {}

local function write_down(data, event)
    heard[#heard + 1] = data == nil and event or event .. "=" .. tostring(data)
end

local _M = { SOURCE = SOURCE }

--- Listens to the events of SOURCE. opts: options of `configure` besides `shm`; without them the timer polls once and then no more in
-- a test's life.
function _M.start(opts)
    opts = opts or {}
    opts.shm = opts.shm or "events"
    opts.interval = opts.interval or NEVER
    assert(events.configure(opts))
    events.register(write_down, SOURCE)
end

--- Posts an event of SOURCE; throws what goes wrong.
function _M.post(event, data, unique)
    assert(events.post(SOURCE, event, data, unique))
end

--- What was heard since the last call, without a poll: event=data with a space between.
function _M.heard()
    local text = table.concat(heard, " ")
    heard = {}
    return text == "" and "nothing" or text
end

--- Polls, and returns what was heard since the last call.
function _M.hear()
    local result, err = events.poll()
    if result ~= "done" then
        return tostring(result) .. ": " .. tostring(err)
    end
    return _M.heard()
end

return _M
