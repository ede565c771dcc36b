--- Where the processes leave events for each other: a shared dictionary with a number `events-last`, the id of the last
-- event, and under `events-data:<id>` the JSON text of each. Ids count from 1. Texts do not expire: the oldest go when
-- room is needed. Under `events-one:<key>` stands the pid of the process that took the events of this unique key.

local log = ngx.log
local tostring = tostring

local WARN = ngx.WARN

local LAST = "events-last"
local DATA = "events-data:"
local ONE = "events-one:"

-- In the place of an event that could not be written, so that no worker waits for it.
local NO_EVENT = ""


-- Writes with up to `retries` further tries: each makes the dictionary drop some more of its oldest entries.
local function write(dict, key, text, retries)
    local tries = 0
    while true do
        local ok, err = dict:set(key, text)
        tries = tries + 1
        if ok or err ~= "no memory" or tries > retries then
            return ok, err, tries
        end
    end
end


local _M = {
    --- The key of the id of the last event; nothing lies there before the first.
    LAST = LAST,
}


--- Leaves an event there. Returns its id, or nil and an error.
function _M.leave(dict, text, retries)
    if #text > dict:capacity() then
        return nil, "no memory"
    end
    local id, err = dict:incr(LAST, 1, 0)
    if not id then
        return nil, err
    end
    local ok, tries
    ok, err, tries = write(dict, DATA .. id, text, retries)
    if tries > 1 then
        -- So much was dropped to make room that the counter may have gone, too.
        dict:add(LAST, id)
    end
    if ok then
        return id
    end
    log(WARN, "worker-events: could not write to shm after ", tries, " tries (", err, "), it is either fragmented or cannot ",
        "allocate more memory, consider increasing 'opts.shm_retries' or increasing the shm size; payload size: ", #text, " bytes")
    dict:set(DATA .. id, NO_EVENT)
    return nil, err
end


--- The text of an event, false for one that could not be written, or nil when there is none (yet); nil and an error.
function _M.look(dict, id)
    local text, err = dict:get(DATA .. id)
    if text == NO_EVENT then
        return false
    end
    return text, err
end


--- Takes the events of a unique key for `timeout` seconds. Returns true, or false and the pid of the process that has them.
function _M.take(dict, unique, pid, timeout)
    local key = ONE .. tostring(unique)
    local ok, err = dict:add(key, pid, timeout)
    if ok or err ~= "exists" then
        return true, err
    end
    return false, dict:get(key)
end


return _M
