local luaunit = require "luaunit"
local text = require "gateway.metrics.text"

local equals = luaunit.assertEquals

-- A dictionary of these keys and values.
local function dictionary(values)
    return {
        get_keys = function()
            local keys = {}
            for key in pairs(values) do
                keys[#keys + 1] = key
            end
            return keys
        end,
        get = function(_, key)
            return values[key]
        end,
    }
end

-- The lines of a family's values.
local function lines(values, family)
    local found = {}
    text.counters(dictionary(values), function(piece)
        if piece:sub(1, #family) == family then
            found[#found + 1] = piece
        end
    end, function() end)
    return table.concat(found)
end


local TestCounters = {}

function TestCounters.test_labels_in_order_of_their_numbers()
    local values = { ["requests\0008080\000200"] = 1, ["requests\00080\000404"] = 2, ["requests\00080\000200"] = 3 }
    equals(lines(values, "gateway_requests_total"),
        'gateway_requests_total{port="80",status="200"} 3\n'
        .. 'gateway_requests_total{port="80",status="404"} 2\n'
        .. 'gateway_requests_total{port="8080",status="200"} 1\n')
end

function TestCounters.test_a_label_may_hold_anything()
    equals(lines({ ["rule\000a\"b\\c\nd"] = 1 }, "gateway_rule"), 'gateway_rule_requests_total{rule="a\\"b\\\\c\\nd"} 1\n')
    equals(lines({ ["rule\000a\000b"] = 1 }, "gateway_rule"), 'gateway_rule_requests_total{rule="a\000b"} 1\n')
    equals(lines({ ["rule\000"] = 1 }, "gateway_rule"), 'gateway_rule_requests_total{rule=""} 1\n')
end

function TestCounters.test_buckets_in_order_of_their_bounds()
    local values = { ["duration\00080\000sum"] = 1.5 }
    for i = 1, #text.BUCKETS + 1 do
        values["duration\00080\000" .. i] = i
    end
    local found = lines(values, "gateway_request_duration_seconds")
    local bounds = {}
    for bound in found:gmatch('le="([^"]+)"') do
        bounds[#bounds + 1] = bound
    end
    equals(bounds, { "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf" })
    luaunit.assertStrContains(found, 'gateway_request_duration_seconds_count{port="80"} 14\n')
    luaunit.assertStrContains(found, 'gateway_request_duration_seconds_sum{port="80"} 1.5\n')
end

function TestCounters.test_a_value_that_went_meanwhile_is_left_out()
    local values = dictionary({ ["rule\000a"] = 1 })
    values.get = function() end
    local written = {}
    text.counters(values, function(piece)
        written[#written + 1] = piece
    end, function() end)
    equals(table.concat(written):find("gateway_rule_requests_total{", 1, true), nil)
end


local TestGauges = {}

function TestGauges.test_help_type_and_value()
    local written = {}
    text.gauges({ { name = "a_total", kind = "counter", help = "Of a.", value = 3 } }, function(piece)
        written[#written + 1] = piece
    end)
    equals(table.concat(written), "# HELP a_total Of a.\n# TYPE a_total counter\na_total 3\n")
end


return { TestCounters = TestCounters, TestGauges = TestGauges }
