--- A rule: JSON text -> Rule.
--
--   { id, upstream = name of a group | nil,
--     host, wildcard, path, prefix, other, never            its keys, see expression.keys: what must hold before it can match
--     test = function(request) -> boolean | nil               absent when the keys say it all
--     redirect = see gateway.redirect | nil, redirect_code = 301 | 303 | 307 | 308 | nil      302 is what a redirect has without one
--     cors = { origin, headers } | nil
--     rewrite = { pattern = regular expression | nil, target } | nil        without a pattern the whole path is replaced
--     backend_protocol = "http" | "https" | "grpc" | "grpcs" | nil, vhost = text | nil,
--     timeouts = { connect, send, read } | nil                seconds, each may be nil
--     request_headers, response_headers = { set = { { name, value }, ... }, add = the same, remove = { name, ... } } | nil,
--     unknown = { name, ... } | nil                          fields that are not known and have no effect }
--
-- Lists of headers are sorted by name. Every field's type is checked. A field that is not known and may restrict access makes the rule a
-- wrong one.

local expression = require "gateway.expression"
local fields = require "gateway.fields"
local headers = require "gateway.rule.headers"
local keys = require "gateway.expression.keys"
local printable = require "gateway.printable"
local redirect = require "gateway.redirect"
local unknown = require "gateway.unknown"

local concat = table.concat
local re_find = ngx.re.find

local PROTOCOLS = { http = "http", https = "https", grpc = "grpc", grpcs = "grpcs" }
local SCHEMES = { http = "http", https = "https" }
local REDIRECT_CODES = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }
local USUAL_REDIRECT_CODE = 302
local MOST_PORT = 65535
local MOST_MILLISECONDS = 24 * 3600 * 1000

local DEFAULT_CORS_ORIGIN = "*"
local DEFAULT_CORS_HEADERS = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization"

local WHOLE_PATH = ".*"

local HEADERS = { headers = true, headers_add = true, headers_remove = true }
local TIMEOUT = { proxy_connect_timeout_ms = true, proxy_send_timeout_ms = true, proxy_read_timeout_ms = true }
local KNOWN = {
    rule = true, upstream = true, internal_dsl = true, redirect_url = true, redirect_scheme = true, redirect_host = true,
    redirect_port = true, redirect_code = true, enable_cors = true, cors_allow_origin = true, cors_allow_headers = true,
    rewrite_target = true, rewrite_base = true, url = true, vhost = true, backend_protocol = true,
    config = { timeout = TIMEOUT, rewrite_request = HEADERS, rewrite_response = HEADERS },
}

-- Integers and texts, of which 0 and "" mean absent.
local function nonzero(value)
    return value ~= 0 and value or nil
end

local function read_redirect_code(rule)
    local code = nonzero(rule:typed("redirect_code", "number", "a number"))
    if code and not REDIRECT_CODES[code] then
        return rule:complain("redirect_code", "%.14g is not one of 301, 302, 303, 307, 308", code)
    end
    return code ~= USUAL_REDIRECT_CODE and code or nil
end

-- The redirect and its code. A code alone would send the client to where it already is, for ever.
local function read_redirect(rule)
    local url, host = rule:line("redirect_url"), rule:line("redirect_host")
    local scheme = rule:choice("redirect_scheme", SCHEMES)
    local port = nonzero(rule:integer("redirect_port", 0, MOST_PORT))
    local code = read_redirect_code(rule)
    local found = redirect.new(url, scheme, host, port)
    return found, found and code
end

local function read_cors(rule)
    local enabled = rule:flag("enable_cors")
    local origin, allowed = rule:line("cors_allow_origin"), rule:line("cors_allow_headers")
    if not enabled then
        return nil
    end
    return { origin = origin or DEFAULT_CORS_ORIGIN, headers = allowed or DEFAULT_CORS_HEADERS }
end

local function read_rewrite(rule)
    local base, url, target = rule:text("rewrite_base"), rule:text("url"), rule:line("rewrite_target")
    if not target then
        return nil
    end
    local pattern = base or url or "/"
    if pattern == WHOLE_PATH then
        return { target = target }
    end
    local _, _, err = re_find("", pattern, "jo")
    if err then
        return rule:complain(base and "rewrite_base" or "url", "'%s' is no regular expression: %s", printable(pattern), printable(err))
    end
    return { pattern = pattern, target = target }
end

local function read_seconds(timeout, name)
    local milliseconds = nonzero(timeout:integer(name, 0, MOST_MILLISECONDS))
    return milliseconds and milliseconds / 1000
end

local function read_timeouts(config)
    local timeout = config and config:fields("timeout")
    if not timeout then
        return nil
    end
    local connect = read_seconds(timeout, "proxy_connect_timeout_ms")
    local send = read_seconds(timeout, "proxy_send_timeout_ms")
    local read = read_seconds(timeout, "proxy_read_timeout_ms")
    return (connect or send or read) and { connect = connect, send = send, read = read } or nil
end

-- The expressions of a rule, all of which must hold; one expression may stand there without a list around it.
local function read_matching(rule)
    local list = rule:list("internal_dsl")
    if not list or #list == 0 then
        if rule:any("internal_dsl") == nil or list then
            rule:complain("internal_dsl", "missing, and a rule without it would match everything")
        end
        return nil
    end
    local compile = type(list[1]) == "string" and expression.compile or expression.compile_all
    local compiled, err = compile(list)
    if not compiled then
        return rule:complain("internal_dsl", "%s", err)
    end
    return compiled
end

local function read_id(rule)
    local id = rule:line("rule")
    if not id and rule:any("rule") == nil then
        rule:complain("rule", "missing")
    end
    return id
end

-- The names of the fields that have no effect, or nil.
local function read_unknown(rule)
    local found = unknown.members(rule.object, KNOWN)
    if found.restricting then
        rule:complain(concat(found.restricting, ", "), "not known to the gateway, and may restrict access")
    end
    return found.names
end

local function require_upstream(rule)
    if rule:any("upstream") == nil then
        rule:complain("upstream", "missing")
    end
end


local _M = {}


--- A rule of http. Returns it, or nil, err (all problems, joined with "; ") and the rule's id when it could be read.
function _M.parse(text)
    local problems = {}
    local rule, err = fields.decode(text, problems)
    if not rule then
        return nil, err
    end
    local id, upstream, matching = read_id(rule), rule:line("upstream"), read_matching(rule)
    local target, code = read_redirect(rule)
    local config = rule:fields("config")
    if not target then
        require_upstream(rule)
    end
    -- One by one: an absent field takes no room, and there may be very many rules.
    local parsed = { id = id }
    parsed.upstream = upstream
    if matching then
        if matching.keys then
            keys.inscribe(matching.keys, parsed)
        end
        parsed.test = not matching.keys_suffice and matching.test or nil
    end
    parsed.redirect, parsed.redirect_code = target, code
    parsed.cors = read_cors(rule)
    parsed.rewrite = read_rewrite(rule)
    parsed.backend_protocol = rule:choice("backend_protocol", PROTOCOLS)
    parsed.vhost = rule:line("vhost")
    parsed.timeouts = read_timeouts(config)
    parsed.request_headers = config and headers.read(config, "rewrite_request")
    parsed.response_headers = config and headers.read(config, "rewrite_response")
    parsed.unknown = read_unknown(rule)
    if #problems > 0 then
        return nil, concat(problems, "; "), id
    end
    return parsed
end


--- A rule of stream: { id, upstream, timeouts, unknown }, or as parse does.
function _M.parse_stream(text)
    local problems = {}
    local rule, err = fields.decode(text, problems)
    if not rule then
        return nil, err
    end
    local id, upstream = read_id(rule), rule:line("upstream")
    require_upstream(rule)
    local timeouts, unknown_names = read_timeouts(rule:fields("config")), read_unknown(rule)
    if #problems > 0 then
        return nil, concat(problems, "; "), id
    end
    return { id = id, upstream = upstream, timeouts = timeouts, unknown = unknown_names }
end


return _M
