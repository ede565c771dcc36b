local luaunit = require "luaunit"
local redirect = require "gateway.redirect"

local equals = luaunit.assertEquals

-- Where a redirect with these fields leads a client that asked http://a.example:8080/p?q.
local function location(fields, request)
    local asked = { scheme = "http", host = "a.example", host_header = "a.example:8080", uri = "/p?q" }
    for name, value in pairs(request or {}) do
        asked[name] = value or nil
    end
    local found = redirect.new(fields.url, fields.scheme, fields.host, fields.port)
    return type(found) == "string" and found or redirect.location(found, asked)
end


local TestLocation = {}

function TestLocation.test_an_absolute_url_is_taken_as_it_is()
    equals(location({ url = "https://b.example/x", host = "c.example", port = 1 }), "https://b.example/x")
    equals(location({ url = "myapp:open" }), "myapp:open")
end

function TestLocation.test_a_path_alone_stays_relative()
    equals(location({ url = "/x?y" }), "/x?y")
end

function TestLocation.test_a_scheme_brings_its_own_port()
    equals(location({ scheme = "https" }), "https://a.example/p?q")
    equals(location({ scheme = "http" }), "http://a.example/p?q")
end

function TestLocation.test_a_port_that_is_the_schemes_own_is_not_written()
    equals(location({ scheme = "https", port = 443 }), "https://a.example/p?q")
    equals(location({ port = 80 }), "http://a.example/p?q")
    equals(location({ port = 443 }), "http://a.example:443/p?q")
end

function TestLocation.test_a_host_keeps_the_port_that_the_client_knows()
    equals(location({ host = "b.example" }), "http://b.example:8080/p?q")
    equals(location({ host = "b.example" }, { host_header = "a.example" }), "http://b.example/p?q")
end

function TestLocation.test_a_path_goes_with_scheme_host_and_port()
    equals(location({ url = "x", scheme = "https", host = "b.example", port = 8443 }), "https://b.example:8443/x")
end

function TestLocation.test_an_address_of_ipv6_keeps_its_brackets()
    equals(location({ scheme = "https" }, { host = "[::1]", host_header = "[::1]:8080" }), "https://[::1]/p?q")
    equals(location({ url = "/x", host = "[::2]" }, { host = "[::1]", host_header = "[::1]" }), "http://[::2]/x")
end

function TestLocation.test_a_path_that_looks_like_a_host_stays_a_path()
    equals(location({ port = 8080 }, { uri = "//evil.example/" }), "http://a.example:8080//evil.example/")
end

-- As nginx leaves the absolute form of a request without a path: "GET http://a.example?y".
function TestLocation.test_a_request_without_a_path_is_for_the_root()
    equals(location({ scheme = "https" }, { uri = "?y" }), "https://a.example/?y")
    equals(location({ scheme = "https" }, { uri = "" }), "https://a.example/")
end

function TestLocation.test_without_a_host_there_is_still_one()
    equals(location({ scheme = "https" }, { host = false, host_header = false }), "https://localhost/p?q")
end


local TestNew = {}

function TestNew.test_what_does_not_depend_on_the_request_is_a_text()
    equals(redirect.new("/x"), "/x")
    equals(redirect.new("https://b.example/", nil, nil, 1), "https://b.example/")
    equals(redirect.new("/x", nil, nil, 1), { url = "/x", port = 1 })
    equals(redirect.new(nil, "https"), { scheme = "https" })
    equals(redirect.new(), nil)
end


return { TestLocation = TestLocation, TestNew = TestNew }
