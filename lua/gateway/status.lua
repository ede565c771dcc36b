--- The status port: `/status` for people and probes, `/metrics` for Prometheus, `/policies` for what is in force.
--
-- /status answers 200 as long as nginx does: a gateway that was not given a policy yet is alive, and says `"policy": null`.

local cjson = require "cjson.safe"
local health = require "gateway.health"
local metrics = require "gateway.metrics"
local policy_text = require "gateway.status.policy"
local shelf_module = require "gateway.shelf"
local slice = require "gateway.slice"
local writer = require "gateway.status.writer"

local date = os.date
local ngx = ngx
local null = cjson.null

local ISO = "!%Y-%m-%dT%H:%M:%SZ"

local shelf


local function open_shelf()
    shelf = shelf or shelf_module.open()
    return shelf
end


local function time_of(seconds)
    return seconds and date(ISO, seconds) or null
end


-- The policy in force, null when there never was one.
local function describe_policy(state, generation)
    if not generation then
        return null
    end
    local counts = state.counts or {}
    return {
        path = state.path,
        loaded_at = time_of(state.loaded_at),
        bytes = state.bytes,
        digest = state.digest,
        rules = counts.rules,
        groups = counts.groups,
        certificates = counts.certificates,
        left_out = counts.left_out,
        unknown = counts.unknown,
        warnings = setmetatable(state.warnings or {}, cjson.empty_array_mt),
        ports = counts.ports,
    }
end


local function describe_backends()
    local unconnected, down = health.count()
    return { ejected = unconnected, down = down }
end


local function gauges(state, generation)
    local counts = state.counts or {}
    local unconnected, down = health.count()
    return {
        {
            name = "gateway_backends_ejected", kind = "gauge", value = unconnected,
            help = "Backends that could not be connected to and are passed over for some seconds.",
        },
        {
            name = "gateway_backends_down", kind = "gauge", value = down,
            help = "Backends of groups whose health checks fail.",
        },
        { name = "gateway_workers", kind = "gauge", value = ngx.worker.count(), help = "Worker processes." },
        {
            name = "gateway_policy_generation", kind = "gauge", value = generation or 0,
            help = "Number of the policy in force, 0 before the first.",
        },
        {
            name = "gateway_policy_loads_total", kind = "counter", value = state.taken or 0,
            help = "Policies that were put in force.",
        },
        {
            name = "gateway_policy_errors_total", kind = "counter", value = state.refused or 0,
            help = "Policy files that were refused as a whole.",
        },
        {
            name = "gateway_policy_loaded_timestamp_seconds", kind = "gauge", value = state.loaded_at or 0,
            help = "When the policy in force was read.",
        },
        { name = "gateway_policy_rules", kind = "gauge", value = counts.rules or 0, help = "Rules in force." },
        { name = "gateway_policy_groups", kind = "gauge", value = counts.groups or 0, help = "Backend groups in force." },
        {
            name = "gateway_policy_certificates", kind = "gauge", value = counts.certificates or 0,
            help = "Certificates in force.",
        },
        {
            name = "gateway_policy_left_out", kind = "gauge", value = counts.left_out or 0,
            help = "Rules, groups, backends and certificates of the policy file that are not in force as the file has them.",
        },
        {
            name = "gateway_policy_unknown", kind = "gauge", value = counts.unknown or 0,
            help = "Sections and fields of the policy in force that the gateway does not know.",
        },
        {
            name = "gateway_policy_warnings", kind = "gauge", value = #(state.warnings or {}),
            help = "Kinds of things that the policy in force says in vain.",
        },
    }
end


local _M = {}


function _M.status()
    local on_shelf = open_shelf()
    local state, generation = on_shelf:state() or {}, on_shelf:generation()
    ngx.header["Content-Type"] = "application/json"
    ngx.say(cjson.encode({
        generation = generation or null,
        policy = describe_policy(state, generation),
        refused = state.refused or 0,
        last_error = state.error or null,
        last_error_at = time_of(state.error_at),
        workers = ngx.worker.count(),
        backends = describe_backends(),
    }))
end


function _M.metrics()
    local on_shelf = open_shelf()
    local out = writer.new()
    ngx.header["Content-Type"] = "text/plain; version=0.0.4"
    metrics.render(gauges(on_shelf:state() or {}, on_shelf:generation()), function(text)
        out:write(text)
    end, slice.pauser())
    out:finish()
end


--- The policy in force as one JSON document in the shape of the policy file, private keys left out.
function _M.policies()
    local out = writer.new()
    ngx.header["Content-Type"] = "application/json"
    policy_text.write(open_shelf(), function(text)
        out:write(text)
    end, slice.pauser())
    out:finish()
end


return _M
