--- The section `probes` of a block: requests, and what each is to bring. Gateway.pm describes the lines.

local testing = require "testing"

local _M = {}


local function fields_of(line)
    local fields = {}
    for field in (line .. "  "):gmatch("(.-)%s%s+") do
        fields[#fields + 1] = field
    end
    return fields
end


local function read_probe(line)
    local fields = fields_of(line)
    local method, target = fields[1]:match("^(%u+) (%S+)$")
    local expected = fields[#fields]:match("^=> (.+)$")
    if not (method and expected) then
        error("not a probe: " .. line)
    end
    local probe = { method = method, path = target, expected = expected, headers = {} }
    local name, path = target:match("^https://([^/]+)(/.*)$")
    if name then
        probe.path, probe.host, probe.tls = path, name, { sni = name }
    end
    for i = 2, #fields - 1 do
        local header, value = fields[i]:match("^([%w_-]+): ?(.*)$")
        if header == "Host" then
            probe.host = value
        else
            probe.headers[header] = value
        end
    end
    return probe
end


local function describe(answer, err)
    if not answer then
        return "no answer: " .. err
    end
    if answer.headers["x-backend"] then
        return (answer.body:match("^[^\n]*"))
    end
    return answer.status .. (answer.headers.location and " " .. answer.headers.location or "")
end


local function fits(expected, got)
    return got == expected or got:sub(1, #expected + 1) == expected .. " "
end


--- Make the requests; prints each that brought something else, or that all were as expected.
function _M.run(text)
    local count, wrong = 0, 0
    for line in text:gmatch("[^\n]+") do
        local probe = read_probe(line)
        local got = describe(testing.request(probe.path, probe))
        count = count + 1
        if not fits(probe.expected, got) then
            wrong = wrong + 1
            ngx.say(line, "   GOT ", got)
        end
    end
    assert(count > 0, "no probes")
    if wrong == 0 then
        ngx.say("as expected")
    end
end


return _M
