--- The listeners of events: callbacks for every event, for the events of a source, and for single events.
--
-- A list is never changed while it may be walked: a change makes a new one. A callback that is taken away while an event
-- is being handed out is not called any more; one that is added then hears of the next event.

local error = error
local ipairs = ipairs
local log = ngx.log
local select = select
local setmetatable = setmetatable
local tostring = tostring
local traceback = debug.traceback
local type = type
local xpcall = xpcall

local ERR = ngx.ERR

local WEAK = { __mode = "v" }


local function no_lists()
    return {
        every = {},     -- entries
        sources = {},   -- source -> entries
        events = {},    -- source -> event -> entries
    }
end


local lists = no_lists()


-- An entry is a table { callback = function }. It is empty once the callback was taken away, or, when the entry is weak,
-- once no other reference holds the callback.
local function with(entries, entry)
    local changed = {}
    for _, other in ipairs(entries or {}) do
        if other.callback then
            changed[#changed + 1] = other
        end
    end
    changed[#changed + 1] = entry
    return changed
end


-- The entries without those of `callback`, and whether there was one. Nil for no entries.
local function without(entries, callback)
    local changed, found = {}, false
    for _, entry in ipairs(entries or {}) do
        if entry.callback == callback then
            entry.callback = nil
            found = true
        elseif entry.callback then
            changed[#changed + 1] = entry
        end
    end
    return changed[1] and changed, found
end


local function call(entries, source, event, data, pid)
    for _, entry in ipairs(entries) do
        local callback = entry.callback
        if callback then
            local ok, err = xpcall(callback, traceback, data, event, source, pid)
            if not ok then
                log(ERR, "worker-events: event callback failed; source=", source, ", event=", event, ", pid=", pid,
                    " error='", tostring(err), "'")
            end
        end
    end
end


-- `level`: how many frames above this one the caller to blame stands.
local function check(callback, level)
    if type(callback) ~= "function" then
        error("expected function, got: " .. type(callback), level)
    end
end


local function add(make_entry, callback, source, ...)
    check(callback, 4)
    if source == nil then
        lists.every = with(lists.every, make_entry(callback))
    elseif select("#", ...) == 0 then
        lists.sources[source] = with(lists.sources[source], make_entry(callback))
    else
        local events = lists.events[source] or {}
        lists.events[source] = events
        for i = 1, select("#", ...) do
            local event = select(i, ...)
            events[event] = with(events[event], make_entry(callback))
        end
    end
end


local function strong_entry(callback)
    return { callback = callback }
end


local function weak_entry(callback)
    return setmetatable({ callback = callback }, WEAK)
end


local _M = {}


--- Adds a callback: for every event without `source`, for all of a source without events.
function _M.add(callback, source, ...)
    add(strong_entry, callback, source, ...)
end


--- Like `add`, but the callback goes as soon as no other reference holds it.
function _M.add_weak(callback, source, ...)
    add(weak_entry, callback, source, ...)
end


--- Takes away what `add` or `add_weak` added with the same arguments. Returns whether there was anything.
function _M.remove(callback, source, ...)
    check(callback, 3)
    local found
    if source == nil then
        lists.every, found = without(lists.every, callback)
        lists.every = lists.every or {}
        return found
    end
    if select("#", ...) == 0 then
        lists.sources[source], found = without(lists.sources[source], callback)
        return found
    end
    local events, any = lists.events[source] or {}, false
    for i = 1, select("#", ...) do
        local event = select(i, ...)
        events[event], found = without(events[event], callback)
        any = any or found
    end
    return any
end


--- Takes all callbacks away.
function _M.drop()
    lists = no_lists()
end


--- Calls all callbacks of this event. An error of one is logged and does not stop the others.
function _M.call(source, event, data, pid)
    call(lists.every, source, event, data, pid)
    local of_source = lists.sources[source]
    if of_source then
        call(of_source, source, event, data, pid)
    end
    local events = lists.events[source]
    local of_event = events and events[event]
    if of_event then
        call(of_event, source, event, data, pid)
    end
end


return _M
