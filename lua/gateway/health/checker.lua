--- The active health checks of all groups; they run in one process, the one that reads the policy.
--
-- A backend is out after so many failed checks in a row, and back after so many good ones. It begins as what it was before: in
-- service, unless a process before this one found it down.

local caches = require "gateway.caches"
local health = require "gateway.health"
local check_module = require "gateway.health.check"
local options = require "gateway.options"

local log = ngx.log
local now = ngx.now
local pairs = pairs
local random = math.random
local spawn = ngx.thread.spawn
local xpcall = xpcall

local ERR, NOTICE, WARN = ngx.ERR, ngx.NOTICE, ngx.WARN

-- Seconds between two looks at what is due.
local TICK = 0.1
-- Checks at a time.
local MOST_RUNNING = 64

local seen             -- groups that `checks` were made of
local checks = {}      -- group -> id of a peer -> { check, peer, is_tls, next_at, good, bad, is_down, is_running }
local running = 0
local is_mine


-- Makes the checks of a group, going on with those that are there already.
local function checks_of(group, check, before, downs)
    local made = {}
    for _, peer in pairs(group.peers) do
        local known = before[peer.id]
        made[peer.id] = known and known.group == group and known or {
            group = group, check = check, peer = peer, is_tls = group.mode == "https",
            -- Spread, so that not all backends are asked at once.
            next_at = now() + random() * check.interval,
            good = 0, bad = 0, is_down = downs[peer.id] == true,
        }
    end
    return made
end


-- Follows the policy in force.
local function follow(groups)
    local usual, made, downs = options.get().health_check, {}, health.downs()
    for _, group in pairs(groups and groups.list or {}) do
        local check = group.check or usual
        if check then
            made[group.name] = checks_of(group, check, checks[group.name] or {}, downs[group.name] or {})
        end
    end
    for name, ids in pairs(downs) do
        for id in pairs(ids) do
            if not (made[name] and made[name][id]) then
                health.set_down(name, id, false)
            end
        end
    end
    seen, checks = groups, made
end


local function note(state, ok, err)
    local check = state.check
    state.good, state.bad = ok and state.good + 1 or 0, ok and 0 or state.bad + 1
    local name = state.group.name
    if not state.is_down and state.bad >= check.unhealthy then
        state.is_down = true
        log(WARN, "backend ", state.peer.id, " of group '", name, "' is out, ", state.bad, " health checks failed: ", err)
        health.set_down(name, state.peer.id, true)
    elseif state.is_down and state.good >= check.healthy then
        state.is_down = false
        log(NOTICE, "backend ", state.peer.id, " of group '", name, "' is back after ", state.good, " health checks")
        health.set_down(name, state.peer.id, false)
    end
end


local function is_in_force(state)
    local of_group = checks[state.group.name]
    return of_group ~= nil and of_group[state.peer.id] == state and is_mine()
end


local function run(state)
    local ok, err = check_module.run(state.check, state.peer, state.is_tls)
    running = running - 1
    state.is_running, state.next_at = false, now() + state.check.interval
    if is_in_force(state) then
        note(state, ok, err)
    end
end


local function run_due()
    local time = now()
    for _, states in pairs(checks) do
        for _, state in pairs(states) do
            if running < MOST_RUNNING and not state.is_running and state.next_at <= time then
                running = running + 1
                state.is_running = true
                spawn(run, state)
            end
        end
    end
end


local function work()
    local groups, err = caches.groups()
    if err then
        return
    end
    if groups ~= seen or not seen then
        follow(groups)
    end
    run_due()
end


local function on_timer(premature)
    if premature or not is_mine() then
        return
    end
    local ok, err = xpcall(work, debug.traceback)
    if not ok then
        log(ERR, "the health checks failed: ", err)
    end
end


local _M = {}


--- Begins to check.
-- @param may_go_on function that says whether this process still is the one that does
-- @return true, or nil, err
function _M.start(may_go_on)
    is_mine = may_go_on
    return ngx.timer.every(TICK, on_timer)
end


return _M
