--- How far this process has come with the events on the board, and the work of handling the next ones in their order.

local board = require "resty.worker.events.board"
local callbacks = require "resty.worker.events.callbacks"
local cjson = require("cjson.safe").new()
local pause = require "resty.worker.events.pause"

local huge = math.huge
local log = ngx.log
local min = math.min
local now = ngx.now
local pcall = pcall
local type = type
local update_time = ngx.update_time
local worker_pid = ngx.worker.pid

local DEBUG = ngx.DEBUG
local ERR = ngx.ERR

local LAST = board.LAST

-- A poll runs in a caller's request, which may be ended under it while it waits or while a callback does. After so many
-- seconds more than it wanted to wait, or with one event, another poll takes its place.
local GRACE = 1
local CALLBACK_GRACE = 30

-- Mostly the text of an event is there at once, so the first waits are shorter than `wait_interval`.
local FIRST_WAIT = 0.001

local dict, settings        -- set by `open`

local position = 0          -- id of the last event that was handled here

local local_events = {}     -- events of this process only, from `first_local` to `last_local`
local first_local, last_local = 1, 0

local working = false       -- whether a poll is at work
local turn = 0              -- which; a poll whose turn is over leaves
local back_by = 0           -- the time by which it shows that its request is still there

local patience_ends = 0     -- when the events up to `patience_for` that are still without text are given up
local patience_for = 0


local function handle(source, event, data, pid)
    back_by = now() + CALLBACK_GRACE
    log(DEBUG, "worker-events: handling event; source=", source, ", event=", event, ", pid=", pid)
    callbacks.call(source, event, data, pid)
end


local function handle_text(id, text)
    local d, err = cjson.decode(text)
    if type(d) ~= "table" then
        log(ERR, "worker-events: dropping event; it is not JSON, id: ", id, ", error: ", err)
        return
    end
    if d.unique ~= nil then
        local mine, other = board.take(dict, d.unique, worker_pid(), settings.timeout)
        if not mine then
            log(DEBUG, "worker-events: skipping event ", id, " was handled by worker ", other)
            return
        end
    end
    handle(d.source, d.event, d.data, d.pid)
end


-- Handles the local events, those included that are posted meanwhile.
local function handle_local_events(my_turn)
    while first_local <= last_local and turn == my_turn do
        local d = local_events[first_local]
        local_events[first_local] = nil
        first_local = first_local + 1
        handle(d.source, d.event, d.data)
    end
end


-- The patience for an event begins when its absence is first noticed, and is the same for all that are known by then:
-- many that are missing do not hold the others up for longer than one.
local function set_patience(id, last)
    if id > patience_for then
        update_time()
        patience_ends = now() + settings.wait_max
        patience_for = last
    end
end


-- The text of an event, waiting for it if need be; false when there is none. Nil when this poll's turn is over.
local function await(id, last, my_turn)
    local text, err = board.look(dict, id)
    if text == nil and not err then
        set_patience(id, last)
    end
    local seconds = FIRST_WAIT
    while text == nil and not err and now() < patience_ends do
        seconds = min(seconds, settings.wait_interval)
        back_by = now() + seconds + GRACE
        pause(seconds)
        seconds = 2 * seconds
        if turn ~= my_turn then
            return nil
        end
        text, err = board.look(dict, id)
    end
    if text == nil then
        log(ERR, "worker-events: dropping event; ", err or "waiting for event data timed out", ", id: ", id)
    end
    return text or false
end


-- Handles the events up to the `last`th, as long as it is this poll's turn.
local function handle_up_to(last, my_turn)
    while position < last and turn == my_turn do
        local id = position + 1
        local text = await(id, last, my_turn)
        if text == nil then
            return
        end
        position = id
        if text then
            handle_text(id, text)
        end
    end
end


-- Handles what there is until nothing new has come up: callbacks may post more. Local events come before those of all workers.
local function work(my_turn)
    while turn == my_turn do
        handle_local_events(my_turn)
        local last, err = dict:get(LAST)
        if err then
            return nil, err
        end
        last = last or position
        if last < position then
            -- The dictionary was emptied and counts from 1 again: none of that has been seen here.
            position, patience_for = 0, 0
        elseif position < last then
            handle_up_to(last, my_turn)
        elseif turn == my_turn then
            return "done"
        end
    end
    return "recursive"
end


local function work_in_turn()
    turn = turn + 1
    working = true
    back_by = huge
    local my_turn = turn
    local ok, result, err = pcall(work, my_turn)
    if turn == my_turn then
        working = false
    end
    if not ok then
        return nil, result
    end
    if not result then
        return nil, err
    end
    return result
end


local _M = {}


--- Begins after the last event of a dictionary.
-- @param new_settings see resty.worker.events.settings
-- @return true, or nil and an error
function _M.open(new_dict, new_settings)
    local last, err = new_dict:get(LAST)
    if err then
        return nil, err
    end
    dict, settings, position = new_dict, new_settings, last or 0
    return true
end


--- See `poll` of resty.worker.events.
function _M.poll()
    if working and now() <= back_by then
        return "recursive"
    end
    if not dict then
        return nil, "worker-events is not configured"
    end
    local last, err = dict:get(LAST)
    if err then
        return nil, err
    end
    if last == position and first_local > last_local and not working then
        return "done"
    end
    return work_in_turn()
end


--- Posts an event to this process only.
function _M.post_local(source, event, data)
    last_local = last_local + 1
    local_events[last_local] = { source = source, event = event, data = data }
end


return _M
