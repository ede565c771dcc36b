-- A process that takes over from another one, as `nginx -s reload` has it, while that is in the middle of something.

local cjson = require "cjson"
local content_of = require "content_of"
local document = require "gateway.document"
local intakes = require "gateway.intake"
local luaunit = require "luaunit"
local shelf_module = require "gateway.shelf"

local equals = luaunit.assertEquals

local function nothing()
end

local function yes()
    return true
end

local function policy(count)
    local rules = {}
    for i = 1, count do
        rules[i] = { rule = "r" .. i, upstream = "g", internal_dsl = { { "EQ", "URL", "/" .. i } } }
    end
    return document.split(content_of(cjson.encode({ http = { tcp = { ["80"] = rules } } })))
end

-- How many texts are missing of the list in force.
local function missing(shelf)
    local count = 0
    for _, digest in ipairs(shelf:list("http_tcp_80").members) do
        count = count + (shelf:body("rule", digest) and 0 or 1)
    end
    return count
end


local TestTakeover = {}

function TestTakeover.setUp()
    ngx.shared.policy:flush_all()
    ngx.shared.policy:flush_expired()
end

function TestTakeover.test_what_the_old_process_gives_up_stays_for_the_new_one()
    local new_shelf, steps, new = shelf_module.open(), 0, nil
    local taken, err = intakes.new(shelf_module.open(), "http", nothing):take(policy(40), nothing, function()
        steps = steps + 1
        if steps == 2 then
            new = intakes.new(new_shelf, "http", nothing)
        end
        return steps < 2
    end)
    equals({ taken, err }, { nil, "another process reads the policy now" })
    assert(new:take(policy(40), nothing, yes))
    equals(missing(new_shelf), 0)
end

function TestTakeover.test_the_old_process_stops_to_remove_what_is_buried()
    local old_shelf, new_shelf = shelf_module.open(), shelf_module.open()
    local old, new = intakes.new(old_shelf, "http", nothing), nil
    for _, count in ipairs({ 200, 1 }) do
        assert(old:take(policy(count), nothing, yes))
        old:tidy(nothing)
    end
    for name in pairs(old_shelf.buried) do
        old_shelf.buried[name] = 0
    end
    local removed = old_shelf:sweep(function()
        new = new or intakes.new(new_shelf, "http", nothing)
    end, function()
        return new == nil
    end)
    luaunit.assertTrue(removed < 199)
    assert(new:take(policy(200), nothing, yes))
    equals(missing(new_shelf), 0)
end


return { TestTakeover = TestTakeover }
