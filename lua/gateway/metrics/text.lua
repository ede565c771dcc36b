--- The counters of the dictionary `metrics` as Prometheus text.
--
-- A key is "<key of the family>\0<label>\0<label>", its value the number. Of a histogram there is a key for each bucket, numbered
-- from 1, the last standing for "+Inf", and one called "sum".

local concat = table.concat
local find = string.find
local gsub = string.gsub
local ipairs = ipairs
local match = string.match
local rep = string.rep
local sort = table.sort
local sub = string.sub
local tonumber = tonumber

local SEPARATOR = "\0"
local PAUSE_EVERY = 500
local MOST_DIGITS = 12

-- Seconds; the last bucket is all that is slower.
local BUCKETS = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }

local FAMILIES = {
    { key = "requests", name = "gateway_requests_total", labels = { "port", "status" }, help = "Requests by port and status." },
    { key = "rule", name = "gateway_rule_requests_total", labels = { "rule" }, help = "Requests by the rule that they matched." },
    {
        key = "duration", name = "gateway_request_duration_seconds", labels = { "port" }, histogram = true,
        help = "Time from the first byte of a request to the last of its answer, by port.",
    },
    {
        key = "failure", name = "gateway_upstream_failures_total", labels = { "group" },
        help = "Attempts at a backend that failed, by backend group.",
    },
    {
        key = "retry", name = "gateway_upstream_retries_total", labels = { "group" },
        help = "Requests that were sent to a second backend, by backend group.",
    },
    {
        key = "hit", name = "gateway_cache_hits_total", labels = { "cache", "level" },
        help = "Answers of the caches by the level they came from: 1 worker, 2 shared memory, 3 callback, 4 stale.",
    },
    {
        key = "handshake", name = "gateway_tls_certificates_total", labels = { "by" },
        help = "Handshakes by what found their certificate: name, wildcard, port, or none.",
    },
}

local ESCAPES = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

local _M = { BUCKETS = BUCKETS }


--- The value of a label as it stands between the quotes.
local function escape(value)
    return (gsub(value, '[\\"\n]', ESCAPES))
end


local function head(name, kind, help)
    return "# HELP " .. name .. " " .. help .. "\n# TYPE " .. name .. " " .. kind .. "\n"
end


-- The labels behind the family's key. The last takes what is left: it may be a rule's id, which may hold anything.
local function split(key, count)
    local parts, from = {}, find(key, SEPARATOR, 1, true) + 1
    for i = 1, count do
        local at = i < count and find(key, SEPARATOR, from, true)
        parts[i] = sub(key, from, at and at - 1 or #key)
        from = at and at + 1
    end
    return parts
end


local function labels_of(family, parts)
    local labels = {}
    for i, name in ipairs(family.labels) do
        labels[i] = name .. '="' .. escape(parts[i]) .. '"'
    end
    return concat(labels, ",")
end


local function histogram_line(family, parts, value)
    local labels, bucket = labels_of(family, parts), parts[#parts]
    if bucket == "sum" then
        return family.name .. "_sum{" .. labels .. "} " .. value .. "\n"
    end
    local bound = BUCKETS[tonumber(bucket)]
    local line = family.name .. "_bucket{" .. labels .. ',le="' .. (bound or "+Inf") .. '"} ' .. value .. "\n"
    if not bound then
        line = line .. family.name .. "_count{" .. labels .. "} " .. value .. "\n"
    end
    return line
end


local function line_of(family, parts, value)
    if family.histogram then
        return histogram_line(family, parts, value)
    end
    return family.name .. "{" .. labels_of(family, parts) .. "} " .. value .. "\n"
end


local function padded(digits)
    return #digits < MOST_DIGITS and rep("0", MOST_DIGITS - #digits) .. digits or digits
end


-- Keys in the order of their labels, numbers as numbers: the buckets of a histogram must come in the order of their bounds.
local function sort_keys(keys)
    local order = {}
    for _, key in ipairs(keys) do
        order[key] = gsub(key, "%d+", padded)
    end
    sort(keys, function(a, b)
        return order[a] < order[b]
    end)
    return keys
end


local function keys_by_family(dict)
    local by_family = {}
    for _, key in ipairs(dict:get_keys(0)) do
        local family = match(key, "^%l+")
        local list = by_family[family] or {}
        list[#list + 1] = key
        by_family[family] = list
    end
    return by_family
end


local function write_family(family, keys, dict, write, pause)
    local count = #family.labels + (family.histogram and 1 or 0)
    for i, key in ipairs(sort_keys(keys)) do
        local value = dict:get(key)
        if value then
            write(line_of(family, split(key, count), value))
        end
        if i % PAUSE_EVERY == 0 then
            pause()
        end
    end
end


--- Write what the dictionary has, family by family.
-- @param write function(text)
-- @param pause called now and then; may wait
function _M.counters(dict, write, pause)
    local by_family = keys_by_family(dict)
    for _, family in ipairs(FAMILIES) do
        write(head(family.name, family.histogram and "histogram" or "counter", family.help))
        write_family(family, by_family[family.key] or {}, dict, write, pause)
    end
end


--- Write single values.
-- @param values list of { name, kind ("gauge" or "counter"), help, value }
function _M.gauges(values, write)
    for _, value in ipairs(values) do
        write(head(value.name, value.kind, value.help) .. value.name .. " " .. value.value .. "\n")
    end
end


return _M
