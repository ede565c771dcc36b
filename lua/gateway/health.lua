--- Which backends are passed over for now: those that could not be connected to (for some seconds), and those whose health checks fail.
--
-- The truth lies in a shared dictionary, and each worker has a copy:
--
--     out/<address:port>            until when, for a backend that could not be connected to
--     down/<group>\0<address:port>  true, for one whose checks fail (see `gateway.health.checker`)
--     version                       grows with each change
--
-- Where all backends of a group are out, none is passed over: the balancers see to that.

local channel = require "gateway.channel"
local dictionary = require "gateway.dictionary"
local options = require "gateway.options"

local find = string.find
local log = ngx.log
local next = next
local now = ngx.now
local sub = string.sub

local WARN = ngx.WARN
local EVENT = "health"
local OUT, DOWN = "out/", "down/"
local SEPARATOR = "\0"

local dict
local seen            -- version of the copy
local out = {}        -- id of a peer -> until when
local down = {}       -- group -> id of a peer -> true

local _M = {
    -- Whether this worker's copy has any backend. Read before each choice of a backend, so that it costs next to nothing while all is well.
    some = false,
}


local function read_key(key)
    if sub(key, 1, #OUT) == OUT then
        out[sub(key, #OUT + 1)] = dict:get(key)
    elseif sub(key, 1, #DOWN) == DOWN then
        local at = find(key, SEPARATOR, 1, true)
        local group = sub(key, #DOWN + 1, at - 1)
        down[group] = down[group] or {}
        down[group][sub(key, at + 1)] = true
    end
end


--- Brings this worker's copy up to date.
function _M.refresh()
    local version = dict:get("version")
    if version == seen and not _M.some then
        return
    end
    seen, out, down = version, {}, {}
    local keys = dict:get_keys(0)
    for i = 1, #keys do
        read_key(keys[i])
    end
    _M.some = next(out) ~= nil or next(down) ~= nil
end


--- Opens the dictionary and listens to the other workers; called in init_worker. Throws when nginx.conf lacks the dictionary.
function _M.start()
    local name = dictionary("health")
    dict = ngx.shared[name]
    if not dict then
        error("no lua_shared_dict '" .. name .. "'")
    end
    channel.listen(EVENT, _M.refresh)
    _M.refresh()
end


local function tell()
    dict:incr("version", 1, 0)
    _M.refresh()
    -- A worker that does not hear it sees it within a policy_interval.
    channel.broadcast(EVENT, "")
end


--- Whether a peer of a group is passed over.
function _M.is_out(group, peer)
    local id = peer.id
    local until_when = out[id]
    if until_when and until_when > now() then
        return true
    end
    local of_group = down[group]
    return of_group ~= nil and of_group[id] == true
end


--- Passes a peer over that could not be connected to, for `eject_seconds`.
function _M.eject(group, peer)
    local seconds = options.get().eject_seconds
    if seconds > 0 and dict:add(OUT .. peer.id, now() + seconds, seconds) then
        log(WARN, "backend ", peer.id, " of group '", group, "' could not be connected to and is passed over for ", seconds, " s")
        tell()
    end
end


--- Notes that the checks of a peer fail, or do no more.
function _M.set_down(group, id, is_down)
    local key = DOWN .. group .. SEPARATOR .. id
    if is_down then
        dict:set(key, true)
    else
        dict:delete(key)
    end
    tell()
end


--- The peers whose checks fail.
-- @return group -> id of a peer -> true
function _M.downs()
    _M.refresh()
    return down
end


--- How many backends are passed over in this moment.
-- @return number that could not be connected to, number whose checks fail
function _M.count()
    local count_out, count_down = 0, 0
    _M.refresh()
    for _, until_when in pairs(out) do
        count_out = count_out + (until_when > now() and 1 or 0)
    end
    for _, of_group in pairs(down) do
        for _ in pairs(of_group) do
            count_down = count_down + 1
        end
    end
    return count_out, count_down
end


return _M
