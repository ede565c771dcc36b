--- The one process that reads the policy file: it looks at the file many times a second, and when it changed, takes it in and
-- tells the workers what is stale.
--
-- It is the privileged agent where nginx has one, else the worker with the number 0; when that is killed, its successor has the
-- same number and goes on. A file that cannot be taken over as a whole (it does not parse, is too large, does not fit) is refused:
-- the previous policy stays in force, one line says why, and nothing more is said while the file stays as it is.
--
-- The reader's state lies on the shelf:
--
--     { path, subsystem, pid, generation,
--       loaded_at (seconds since 1970), bytes, digest, seconds, longest_stretch      of the policy in force
--       counts = { rules, groups, certificates            in force,
--                  left_out                               members of the file that are not in force as the file has them: rules,
--                                                         groups, backends, certificates, also where the one before stays
--                  unknown                                sections and fields that the gateway does not know
--                  ports = { [list key] = number of rules } },
--       warnings = { line, ... }     parts of the policy in force without effect: `findings` of `gateway.intake.survey`, and
--       findings, listening          ports of the policy that are not among the ones that nginx listens on
--       taken, refused               how many files were taken over and refused since nginx started
--       error, error_at, error_digest   why the file as it is now was refused, and its digest }

local checker = require "gateway.health.checker"
local options = require "gateway.options"
local process = require "ngx.process"
local readings = require "gateway.reading"
local shelf_module = require "gateway.shelf"
local slice = require "gateway.slice"
local survey = require "gateway.intake.survey"

local ERR, NOTICE, WARN = ngx.ERR, ngx.NOTICE, ngx.WARN
local insert = table.insert
local ipairs = ipairs
local log = ngx.log
local min = math.min
local now = ngx.now
local worker = ngx.worker

-- A file that was written this short a time ago, in seconds, may still be on its way: a fault in it is believed only
-- later, but within PATIENCE seconds.
local FRESH = 0.2
local PATIENCE = 1
-- A file system's clock may be this coarse: a file that was read this shortly after a write may be written again unseen.
local CLOCK_STEP = 0.02
-- The reader rests this many times as long as its last reading took, so that a file that never stops changing leaves its
-- process to requests.
local REST = 2
local MOST_REST = 1

local MOST_LINE = 1500

local agent_reads = false

local path, interval, shelf, reading, state
local is_busy = false
local seen                 -- identity of the file, or why there is none, as it was last dealt with
local doubted_since        -- when something was first wrong with a file that is fresh
local rest_until = 0
local checked_at = 0
local needs_check = false  -- the file is to be read once more although it looks the same


-- A policy may hold any text, but no control character reaches the log.
local function report(line, level)
    log(level or ERR, "policy: ", (line:sub(1, MOST_LINE):gsub("%c", "?")))
end


-- Says each warning once, until it does not hold any more.
local function warn()
    state.listening = shelf:listening()
    local said, warnings = {}, survey.unheard(state.counts.ports, state.listening)
    for _, line in ipairs(state.warnings or {}) do
        said[line] = true
    end
    for i, line in ipairs(state.findings) do
        insert(warnings, i, line)
    end
    for _, line in ipairs(warnings) do
        if not said[line] then
            report(line, WARN)
        end
    end
    state.warnings = warnings
end


local function is_still_mine()
    return not worker.exiting() and shelf:is_claimed_by(worker.pid())
end


local function save_state()
    local ok, err = shelf:save_state(state)
    if not ok then
        report("could not write the reader's state: " .. err)
    end
end


-- Says once for each file why it is refused.
local function refuse(reason, found)
    local digest = found and found.digest or ""
    if state.error == reason and state.error_digest == digest then
        return
    end
    state.error, state.error_at, state.error_digest = reason, now(), digest
    state.refused = state.refused + 1
    local consequence = shelf:generation() and "the previous policy stays in force" or "no policy is in force yet"
    report("'" .. path .. "' refused, " .. consequence .. ": " .. reason)
    save_state()
end


local function accept(result)
    local taken, found = result.taken, result.found
    local had_error = state.error ~= nil
    state.error, state.error_at, state.error_digest = nil, nil, nil
    if taken then
        state.counts, state.findings, state.taken = taken.counts, taken.findings, state.taken + 1
        warn()
        state.loaded_at, state.bytes, state.digest = now(), found.size, found.digest
        state.seconds, state.longest_stretch = result.seconds, result.longest_stretch
        state.generation = (shelf:generation() or 0) + 1
        log(NOTICE, "policy: generation ", state.generation, " in force: ", taken.counts.rules, " rules, ", taken.counts.groups,
            " groups, ", taken.counts.certificates, " certificates, ", taken.counts.left_out, " left out, in ",
            result.seconds, " s, longest stretch ", result.longest_stretch, " s")
    end
    if taken or had_error then
        save_state()
    end
    if taken then
        -- The last of all: a process that sees the number grow may rely on everything else.
        local ok, err = shelf:count()
        if not ok then
            report("could not count the policy that was taken over: " .. err)
        end
    end
end


-- The first worker may start after the policy was taken over, and after a reload there may be other listeners.
local function look_at_listeners()
    if state.findings and state.listening ~= shelf:listening() then
        warn()
        save_state()
    end
end


-- Whether something may be wrong with the file only because its writer is not done.
local function may_be_unfinished(found)
    if not found or now() - found.modified > FRESH then
        doubted_since = nil
        return false
    end
    doubted_since = doubted_since or now()
    if now() - doubted_since <= PATIENCE then
        return true
    end
    doubted_since = nil
    return false
end


-- Reads the file, also one that looks as before. `seen` is set first: a write from now on is another change.
local function read(identity)
    seen = identity
    local began = now()
    local result, err, found = reading:run(state.digest, is_still_mine)
    rest_until = now() + min(MOST_REST, REST * (now() - began))
    if result then
        doubted_since = nil
        needs_check = result.found.modified > began - CLOCK_STEP
        seen = result.found.identity
        accept(result)
    elseif not is_still_mine() then
        return
    elseif may_be_unfinished(found) then
        seen = nil
    else
        refuse(err, found)
    end
end


-- Looks at the file, and reads it if it is not as it was.
local function look()
    local found, err = reading:look()
    local identity = found and found.identity or err
    local is_due = now() - checked_at >= interval
    if is_due then
        checked_at = now()
    end
    if identity ~= seen or (needs_check and is_due) then
        if found then
            read(identity)
        else
            seen = identity
            refuse(err)
        end
    end
end


local function on_timer(premature)
    if premature or is_busy or not is_still_mine() then
        return
    end
    is_busy = true
    local ok, err = xpcall(function()
        look_at_listeners()
        if now() >= rest_until then
            look()
        end
        local pause = slice.pauser()
        reading:tidy(pause)
        shelf:sweep(pause, is_still_mine)
    end, debug.traceback)
    is_busy = false
    if not ok then
        report("the reader failed: " .. err)
    end
end


local function new_state()
    local before = shelf:state() or {}
    before.path, before.subsystem, before.pid = path, ngx.config.subsystem, worker.pid()
    before.taken, before.refused = before.taken or 0, before.refused or 0
    return before
end


local function is_reader()
    if agent_reads then
        return process.type() == "privileged agent"
    end
    return worker.id() == 0
end


local _M = {}


--- Has nginx start the privileged agent, if it can; called while nginx starts.
-- @return whether it can, which it does with OpenResty's patches
function _M.prepare()
    local ok, can = pcall(process.enable_privileged_agent, 64)
    agent_reads = ok and can == true
    return agent_reads
end


--- Begins to read, in the one process that does; called by each as it starts.
-- The first policy of all is read here, so that the gateway serves with its first request; when one is in force already, the
-- file is looked at a moment later.
-- @return true, or nil, err
function _M.start()
    if not is_reader() then
        return true
    end
    local chosen = options.get()
    path, interval = chosen.policy_path, chosen.policy_interval
    shelf = shelf_module.open()
    local ok, err = shelf:claim(worker.pid())
    if not ok then
        return nil, "could not claim the shelf: " .. err
    end
    state = new_state()
    reading = readings.new(path, chosen.policy_limit, shelf, report)
    if not shelf:generation() then
        ok, err = xpcall(look, debug.traceback)
        if not ok then
            report("the reader failed: " .. err)
        end
    end
    ok, err = ngx.timer.at(0, on_timer)
    if ok then
        ok, err = ngx.timer.every(chosen.watch_interval, on_timer)
    end
    if ok then
        ok, err = checker.start(is_still_mine)
    end
    if not ok then
        return nil, "could not start the timers of the reader: " .. err
    end
    return true
end


return _M
