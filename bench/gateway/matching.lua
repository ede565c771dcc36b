-- Figures of the gateway's pure modules, inside nginx; started by matching.py with, in the environment,
-- POLICIES (files of policies) and REQUESTS (for each a file of requests of policy.py, or "-").

local document = require "gateway.document"
local ffi = require "ffi"
local index = require "gateway.index"
local rule = require "gateway.rule"
local watch = require "gateway.watch"

ffi.cdef [[
    typedef struct { long seconds; long nanoseconds; } matching_time;
    int clock_gettime(int clock, matching_time *time);
]]
local time = ffi.new("matching_time")

local ROUNDS = 7

-- Milliseconds of a clock that only goes forward.
local function clock()
    ffi.C.clock_gettime(1, time)
    return tonumber(time.seconds) * 1e3 + tonumber(time.nanoseconds) / 1e6
end

-- The least of several times, in milliseconds.
local function least(run)
    local found = math.huge
    for _ = 1, ROUNDS do
        collectgarbage()
        local began = clock()
        run()
        found = math.min(found, clock() - began)
    end
    return found
end

local function megabytes()
    collectgarbage()
    collectgarbage()
    return collectgarbage("count") / 1024
end

local function print_figure(name, text, ...)
    io.stdout:write(("%-44s " .. text .. "\n"):format(name, ...))
end

local function read(path)
    return assert(watch.new(path, math.huge):read(function() end))
end

local Request = {}
Request.__index = Request

function Request:method()
    return self.verb
end

function Request:header()
    return self.value
end

-- Requests of policy.py, and the ids of the rules that they must find.
local function read_requests(path)
    local requests, ids = {}, {}
    for line in io.lines(path) do
        local host, uri, verb, value, id = line:match("^(%S+)\t(%S+)\t(%S+)\t(%S+)\t(%S+)$")
        requests[#requests + 1] = setmetatable({ host = host, path = uri, verb = verb, value = value ~= "-" and value or nil }, Request)
        ids[#ids + 1] = id
    end
    return requests, ids
end

local function parse_all(texts)
    local rules = {}
    for i = 1, #texts do
        rules[i] = assert(rule.parse(texts[i]))
    end
    return rules
end

local function measure_finding(built, path)
    local requests, ids = read_requests(path)
    for i = 1, #requests do
        local found = built:find(requests[i])
        assert(found and found.id == ids[i], ids[i] .. " is not what was found")
    end
    local passes = math.ceil(200000 / #requests)
    local took = least(function()
        for _ = 1, passes do
            for i = 1, #requests do
                built:find(requests[i])
            end
        end
    end)
    print_figure("  find", "%.2f us", took * 1e3 / passes / #requests)
end

-- The texts of a policy's rules.
local function measure_splitting(path)
    local content = read(path)
    local name = ("document.split, %.1f MB"):format(content.length / 1e6)
    print_figure(name, "%.1f ms", least(function() assert(document.split(content)) end))
    local spans = assert(document.split(content)).http.tcp[1][2]
    print_figure("  digests of its rules", "%.1f ms", least(function()
        for i = 1, spans.count do
            spans:digest(i)
        end
    end))
    local texts = {}
    for i = 1, spans.count do
        texts[i] = spans:text(i)
    end
    content:release()
    return texts
end

local function measure(policy, requests)
    local texts = measure_splitting(policy)
    print_figure(#texts .. " rules", "")
    local empty = megabytes()
    local began = clock()
    local rules = parse_all(texts)
    local took = clock() - began
    print_figure("  rule.parse", "%.1f us a rule, %.1f ms for all", took * 1e3 / #texts, took)
    local with_rules = megabytes()
    local built = index.new(rules)
    local with_index = megabytes()
    print_figure("  index.new", "%.2f ms", least(function() index.new(rules) end))
    local others = {}
    for i = 1, #rules do
        others[i] = i % 100 == 50 and assert(rule.parse(texts[i])) or rules[i]
    end
    print_figure("  index.new, 1 % of the rules are new", "%.3f ms", least(function() index.new(others, nil, built) end))
    print_figure("  memory", "%.1f MB rules, %.1f MB index", with_rules - empty, with_index - with_rules)
    measure_finding(built, requests)
end


local requests = os.getenv("REQUESTS"):gmatch("%S+")
for policy in os.getenv("POLICIES"):gmatch("%S+") do
    measure(policy, requests())
end
