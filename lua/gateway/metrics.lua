--- The counters: this worker's in Lua tables, flushed each second and when the worker ends to the dictionary `metrics`, from where
-- any worker tells those of all. They live as long as nginx does, reloads included.
--
-- Keys of the dictionary are "<family>\0<label>\0<label>", see `gateway.metrics.text`. Labels come from the configuration and the
-- policy, never from a request, so that their number is bounded; should the dictionary be full all the same, the key goes that
-- was not touched for longest.

local text = require "gateway.metrics.text"

local concat = table.concat
local floor = math.floor
local pairs = pairs

local DICTIONARY = "metrics"
local FLUSH_INTERVAL = 1
local SEPARATOR = "\0"

local BUCKETS = text.BUCKETS
local BUCKET_COUNT = #BUCKETS
local MOST_STATUS = 1000

local LEVELS = 4
-- Level 1 of a cache stands behind this one among the hits.
local FIRST_PLACE = { rule = 0, cert = LEVELS, backend = 2 * LEVELS }

local requests = {}    -- port * 1000 + status -> number
local rules = {}       -- id -> number
local durations = {}   -- port -> { milliseconds -> number of requests that took so long }
local others = {}      -- whole key -> number: what is counted rarely
local hits = {}        -- place of cache and level -> number: of a fixed size, as LuaJIT's code for a request depends on that
local dict
local ending = false

for place = 1, 3 * LEVELS do
    hits[place] = 0
end


local function add(key, number)
    dict:incr(key, number, 0)
end


-- The first bucket that a duration, in seconds, fits into.
local function bucket_of(seconds)
    local i = 1
    while i <= BUCKET_COUNT and seconds > BUCKETS[i] do
        i = i + 1
    end
    return i
end


-- A bucket of a histogram counts all that is not slower than its bound.
local function flush_durations(port, counts)
    local prefix = "duration" .. SEPARATOR .. port .. SEPARATOR
    local histogram, sum, count = {}, 0, 0
    for milliseconds, number in pairs(counts) do
        local i = bucket_of(milliseconds / 1000)
        histogram[i] = (histogram[i] or 0) + number
        sum = sum + number * milliseconds / 1000
    end
    for i = 1, BUCKET_COUNT + 1 do
        count = count + (histogram[i] or 0)
        add(prefix .. i, count)
    end
    add(prefix .. "sum", sum)
end


local function flush_requests(counts)
    for key, number in pairs(counts) do
        local status = key % MOST_STATUS
        add(concat({ "requests", (key - status) / MOST_STATUS, status }, SEPARATOR), number)
    end
end


local function flush_hits()
    for cache, first in pairs(FIRST_PLACE) do
        for level = 1, LEVELS do
            local number = hits[first + level]
            if number > 0 then
                hits[first + level] = 0
                add(concat({ "hit", cache, level }, SEPARATOR), number)
            end
        end
    end
end


local _M = {}


--- Hand this worker's counts over to the dictionary.
function _M.flush()
    local counts = { requests = requests, rules = rules, durations = durations, others = others }
    requests, rules, durations, others = {}, {}, {}, {}
    flush_hits()
    flush_requests(counts.requests)
    for id, number in pairs(counts.rules) do
        add("rule" .. SEPARATOR .. id, number)
    end
    for port, histogram in pairs(counts.durations) do
        flush_durations(port, histogram)
    end
    for key, number in pairs(counts.others) do
        add(key, number)
    end
end


-- Timers end before the last requests of a worker do: from then on each is handed over by itself.
local function on_timer(premature)
    ending = premature or ending
    _M.flush()
end


--- Begin to flush; called by each worker as it starts.
-- @return true, or nil, err
function _M.start()
    dict = ngx.shared[DICTIONARY]
    if not dict then
        return nil, "no lua_shared_dict '" .. DICTIONARY .. "'"
    end
    local ok, err = ngx.timer.every(FLUSH_INTERVAL, on_timer)
    if not ok then
        return nil, "could not start the timer of the metrics: " .. err
    end
    return true
end


-- The bucket is looked for when the counts are handed over: a loop here would keep LuaJIT from translating the log phase as
-- a whole.
local function count_duration(port, seconds)
    local counts = durations[port]
    if not counts then
        counts = {}
        durations[port] = counts
    end
    local milliseconds = floor(seconds * 1000 + 0.5)
    counts[milliseconds] = (counts[milliseconds] or 0) + 1
end


--- A request came to its end.
-- @param port of the policy, a number
-- @param status of the answer, a number
-- @param rule id of the rule, or nil when none matched
-- @param seconds from its first byte to its last
function _M.request(port, status, rule, seconds)
    local key = port * MOST_STATUS + status
    requests[key] = (requests[key] or 0) + 1
    if rule then
        rules[rule] = (rules[rule] or 0) + 1
    end
    count_duration(port, seconds)
    if ending then
        _M.flush()
    end
end


local function count(key)
    others[key] = (others[key] or 0) + 1
    if ending then
        _M.flush()
    end
end


--- A peer of a group did not answer as it should.
function _M.upstream_failure(group)
    count("failure" .. SEPARATOR .. group)
end


--- A request was sent to another peer of its group.
function _M.upstream_retry(group)
    count("retry" .. SEPARATOR .. group)
end


--- A cache was asked.
-- @param cache "rule", "cert" or "backend"
-- @param level the value came from: 1 this worker, 2 the dictionary, 3 the callback, 4 a stale one; nil is not counted
function _M.cache_hit(cache, level)
    if level then
        local place = FIRST_PLACE[cache] + level
        hits[place] = hits[place] + 1
    end
end


--- A handshake found its certificate.
-- @param by "name", "wildcard", "port" or "none"
function _M.handshake(by)
    count("handshake" .. SEPARATOR .. by)
end


--- All counters and the given gauges as Prometheus text.
-- @param gauges list of { name, help, value }
-- @param write function(text), called piece by piece
-- @param pause called now and then; may wait
function _M.render(gauges, write, pause)
    _M.flush()
    text.gauges(gauges, write)
    text.counters(dict, write, pause)
end


return _M
