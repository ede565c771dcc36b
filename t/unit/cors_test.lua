local cors = require "gateway.cors"
local luaunit = require "luaunit"
local new_request = require "request"

local equals = luaunit.assertEquals

-- The headers that an answer to this origin gets.
local function headers_for(allowed, origin, preflight, before)
    local header = before or {}
    cors.apply({ origin = allowed, headers = "X-A" }, header, origin, preflight)
    return header
end


local TestPreflight = {}

local function is_preflight(method, headers)
    return cors.is_preflight(new_request({ method = method, headers = headers }))
end

function TestPreflight.test_it_is_an_options_request_with_origin_and_method()
    equals(is_preflight("OPTIONS", { origin = "x", ["access-control-request-method"] = "PUT" }), true)
    equals(is_preflight("GET", { origin = "x", ["access-control-request-method"] = "PUT" }), false)
    equals(is_preflight("OPTIONS", { origin = "x" }), false)
    equals(is_preflight("OPTIONS", { ["access-control-request-method"] = "PUT" }), false)
end


local TestApply = {}

function TestApply.test_any_origin()
    equals(headers_for("*", "https://a"), { ["Access-Control-Allow-Origin"] = "*" })
    equals(headers_for("*", nil), { ["Access-Control-Allow-Origin"] = "*" })
end

function TestApply.test_a_preflight_is_told_what_may_be_sent()
    equals(headers_for("*", "https://a", true), {
        ["Access-Control-Allow-Origin"] = "*",
        ["Access-Control-Allow-Methods"] = "GET, PUT, POST, DELETE, PATCH, OPTIONS",
        ["Access-Control-Allow-Headers"] = "X-A",
        ["Access-Control-Max-Age"] = "1728000",
    })
end

function TestApply.test_one_origin_of_a_list_is_named()
    equals(headers_for("https://a, https://b", "https://b"), {
        ["Access-Control-Allow-Origin"] = "https://b",
        ["Access-Control-Allow-Credentials"] = "true",
        Vary = "Origin",
    })
end

function TestApply.test_any_origin_beside_others_is_not_named_either()
    equals(headers_for("https://a, *", "https://b"), { ["Access-Control-Allow-Origin"] = "*", Vary = "Origin" })
    equals(headers_for("https://a, *", "https://a"), { ["Access-Control-Allow-Origin"] = "*", Vary = "Origin" })
end

function TestApply.test_another_origin_is_not_named_and_the_answer_still_varies()
    equals(headers_for("https://a", "https://b"), { Vary = "Origin" })
    equals(headers_for("https://a", "https://a.evil", true), { Vary = "Origin" })
    equals(headers_for("https://a", nil), { Vary = "Origin" })
end

function TestApply.test_the_word_of_the_backend_is_replaced()
    equals(headers_for("https://a", "https://b", false, { ["Access-Control-Allow-Origin"] = "*", Vary = "Accept" }),
        { Vary = { "Accept", "Origin" } })
    equals(headers_for("https://a", nil, false, { Vary = { "Accept", "Cookie" } }), { Vary = { "Accept", "Cookie", "Origin" } })
end


return { TestPreflight = TestPreflight, TestApply = TestApply }
