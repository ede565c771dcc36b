--- Many lookups in one call: the list that says what to look up, the list of what was found, and the light threads that
-- run the callbacks of what was not in the cache.
--
--     lookups:  key, options, callback, argument for the callback;  four places each, field n = number of lookups
--     results:  value, error, hit level;                            three places each, field n = number of places

local levels = require "resty.mlcache.levels"
local new_table = require "table.new"
local options = require "resty.mlcache.options"

local ceil = math.ceil
local error = error
local floor = math.floor
local get_from_l1 = levels.get_from_l1
local get_from_l2 = levels.get_from_l2
local get_from_l3 = levels.get_from_l3
local log = ngx.log
local max = math.max
local min = math.min
local setmetatable = setmetatable
local spawn = ngx.thread.spawn
local type = type
local wait = ngx.thread.wait
local DEBUG = ngx.DEBUG

local LOOKUP_SIZE = 4
local RESULT_SIZE = 3
local DEFAULT_CONCURRENCY = 3

local lookups_mt = { __index = {} }

--- Adds one lookup to a list made by new().
function lookups_mt.__index:add(key, opts, callback, argument)
    local place = self.n * LOOKUP_SIZE
    self[place + 1] = key
    self[place + 2] = opts
    self[place + 3] = callback
    self[place + 4] = argument
    self.n = self.n + 1
end

-- Returns settings, or nil and what is wrong.
local function lookup_settings(cache, bulk, number)
    local place = (number - 1) * LOOKUP_SIZE
    local key, callback = bulk[place + 1], bulk[place + 3]

    if type(key) ~= "string" then
        return nil, "key at index " .. place + 1 .. " must be a string for operation " .. number ..
                    " (got " .. type(key) .. ")"
    end

    if type(callback) ~= "function" then
        return nil, "callback at index " .. place + 3 .. " must be a function for operation " .. number ..
                    " (got " .. type(callback) .. ")"
    end

    local settings, err = options.settings(cache, bulk[place + 2])
    if not settings then
        return nil, "options at index " .. place + 2 .. " for operation " .. number .. " are invalid: " .. err
    end

    return settings
end

local function store(results, number, value, err, level)
    local place = (number - 1) * RESULT_SIZE
    results[place + 1] = value
    results[place + 2] = err
    results[place + 3] = level
end

-- job: { cache, bulk, settings (by number of the lookup), results,
--        pending = { number of a lookup whose callback must run, ... }, stale, stale_values (by the same places) }
local function run_range(job, name, first, last)
    if job.cache.debug then
        log(DEBUG, name, " running callbacks ", first, " to ", last)
    end

    for i = first, last do
        local number = job.pending[i]
        local place = (number - 1) * LOOKUP_SIZE
        local key, callback, argument = job.bulk[place + 1], job.bulk[place + 3], job.bulk[place + 4]
        local value, err, level = get_from_l3(job.cache, key, job.settings[number], job.stale[i], job.stale_values[i],
                                              callback, argument)
        store(job.results, number, value, err, level)
    end
end

-- Fills in what the cache has for one lookup, or lists it as pending.
local function read_cache(job, number)
    local cache = job.cache
    local key = job.bulk[(number - 1) * LOOKUP_SIZE + 1]
    local value, err, level = get_from_l1(cache, key)
    local stale, stale_value

    if not level then
        value, err, level, stale, stale_value = get_from_l2(cache, key, job.settings[number])
    end

    if level or err then
        store(job.results, number, value, err, level)
        return
    end

    local place = #job.pending + 1
    job.pending[place] = number
    job.stale[place] = stale or false
    job.stale_values[place] = stale_value
end

-- Runs the pending callbacks, a share of consecutive ones in each of at most `concurrency` light threads, of which this
-- one is the last. Returns true, or nil and an error.
local function run_callbacks(job, concurrency)
    local total = #job.pending
    local share = ceil(total / concurrency)
    local others = min(total, concurrency) - 1
    local threads = {}
    local first = 1

    if job.cache.debug then
        log(DEBUG, "spawning ", others, " threads to run ", total, " callbacks")
    end

    for i = 1, others do
        if first > total then
            break
        end

        threads[i] = spawn(run_range, job, "thread " .. i, first, min(first + share - 1, total))
        first = first + share
    end

    if first <= total then
        run_range(job, "main thread", first, total)
    end

    for i = 1, #threads do
        local ok, err = wait(threads[i])
        if not ok then
            return nil, "could not run thread " .. i .. ": " .. err
        end
    end

    return true
end

local _M = {}

--- Returns the fault of the arguments of get_bulk(), as text, or nil.
function _M.arguments_error(bulk, opts)
    if type(bulk) ~= "table" then
        return "bulk must be a table"
    end

    if type(bulk.n) ~= "number" then
        return "bulk must have n field"
    end

    if opts == nil then
        return nil
    end

    if type(opts) ~= "table" then
        return "opts must be a table"
    end

    if opts.concurrency ~= nil then
        if type(opts.concurrency) ~= "number" then
            return "opts.concurrency must be a number"
        end

        if opts.concurrency <= 0 then
            return "opts.concurrency must be > 0"
        end
    end
end

--- Returns the settings of every lookup, or nil and what is wrong with the first bad one.
function _M.all_settings(cache, bulk)
    local all = new_table(bulk.n, 0)

    for number = 1, bulk.n do
        local settings, err = lookup_settings(cache, bulk, number)
        if not settings then
            return nil, err
        end

        all[number] = settings
    end

    return all
end

--- Does the lookups. Returns the list of results, or nil and an error.
-- settings: as all_settings() returned them
-- concurrency: most light threads, may be nil
function _M.get(cache, bulk, settings, concurrency)
    local places = bulk.n * RESULT_SIZE
    local results = new_table(places, 1)
    results.n = places

    local job = {
        cache = cache, bulk = bulk, settings = settings, results = results, pending = {}, stale = {}, stale_values = {},
    }

    for number = 1, bulk.n do
        read_cache(job, number)
    end

    if #job.pending > 0 then
        local ok, err = run_callbacks(job, max(1, floor(concurrency or DEFAULT_CONCURRENCY)))
        if not ok then
            return nil, err
        end
    end

    return results
end

--- Returns an empty list of lookups, with room for `n_lookups` of them (may be nil).
function _M.new(n_lookups)
    if n_lookups ~= nil and type(n_lookups) ~= "number" then
        error("n_lookups must be a number", 2)
    end

    local bulk = new_table((n_lookups or 0) * LOOKUP_SIZE, 1)
    bulk.n = 0

    return setmetatable(bulk, lookups_mt)
end

local function next_result(results, number)
    local place = number * RESULT_SIZE
    if place >= results.n then
        return nil
    end

    return number + 1, results[place + 1], results[place + 2], results[place + 3]
end

--- For use in a `for`: number of the lookup, value, error, hit level.
function _M.each_result(results)
    if type(results) ~= "table" then
        error("res must be a table", 2)
    end

    if type(results.n) ~= "number" then
        error("res must have res.n field; is this a get_bulk() result?", 2)
    end

    return next_result, results, 0
end

return _M
