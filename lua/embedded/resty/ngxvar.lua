--- nginx variables at less cost than `ngx.var`: `fetch(name, request)`, with a request from `request()` when several are
-- wanted.
--
-- `ngx.var` computes the hash of a name at each read; here it is computed once a name, and nginx is asked directly. The
-- values are those of `ngx.var`, but for numbers: `status`, `request_time`, `request_length`, `bytes_sent`, and
-- `upstream_response_time`, `upstream_connect_time` and `upstream_header_time`, the seconds of all tries together. All variables
-- that have a name can be read so.
-- Where there is no request of a client (timers, the init phases, TLS phases), and in stream, `ngx.var` is asked.

local ffi = require "ffi"
local base = require "resty.core.base"

local band = bit.band
local current_request = base.get_request
local ffi_string = ffi.string
local get_phase = ngx.get_phase
local gmatch = string.gmatch
local lower = string.lower
local pcall = pcall
local tonumber = tonumber
local type = type
local var = ngx.var

local IS_STREAM = ngx.config.subsystem == "stream"

-- How nginx lays out ngx_variable_value_t on a little-endian machine: 28 bits of length, and four flags.
local LENGTH = 0x0FFFFFFF
local NOT_FOUND = 0x40000000

-- Names come from code and configuration; should they come from clients, the memory for them is bounded.
local MAX_NAMES = 1000

local TIMES = {
    upstream_response_time = true,
    upstream_connect_time = true,
    upstream_header_time = true,
}

local NUMBERS = { request_time = true, request_length = true, bytes_sent = true }

-- Where the current request is one of a client, with all that variables read.
local PHASES = {
    set = true, server_rewrite = true, rewrite = true, access = true, content = true, balancer = true,
    header_filter = true, body_filter = true, log = true,
}


-- The function of nginx that reads a variable, or nil and an error where it cannot be called.
local function reader()
    if ngx.config.subsystem ~= "http" or not (ffi.abi("le") and ffi.abi("64bit")) then
        return nil, "not supported"
    end
    ffi.cdef [[
        typedef struct { size_t len; const char *data; uintptr_t key; char text[?]; } resty_ngxvar_name_t;
        typedef struct { unsigned int bits; const char *data; } resty_ngxvar_value_t;
        resty_ngxvar_value_t *resty_ngxvar_get(ngx_http_request_t *r, resty_ngxvar_name_t *name, uintptr_t key)
            __asm__("ngx_http_get_variable");
        uintptr_t resty_ngxvar_hash(const char *text, size_t length) __asm__("ngx_hash_key");
    ]]
    return ffi.C.resty_ngxvar_get
end


local _, get = pcall(reader)
if type(get) ~= "cdata" then
    get = nil
end

local hash = get and ffi.C.resty_ngxvar_hash

local names = {}    -- name -> resty_ngxvar_name_t
local count = 0


local function remember(name)
    if type(name) ~= "string" or TIMES[name] or NUMBERS[name] or name == "status" or count == MAX_NAMES then
        return nil
    end
    local known = ffi.new("resty_ngxvar_name_t", #name + 1)
    ffi.copy(known.text, lower(name))
    known.len, known.data, known.key = #name, known.text, hash(known.text, #name)
    names[name] = known
    count = count + 1
    return known
end


-- Each try adds its time to a list like "0.004, 0.020 : 0.011"; "-" stands for a try that came to nothing.
local function total(times)
    local seconds
    for time in gmatch(times, "[%d.]+") do
        seconds = (seconds or 0) + (tonumber(time) or 0)
    end
    return seconds
end


local function ask_ngx(name)
    if IS_STREAM then
        return var[name]
    end
    if name == "status" then
        return ngx.status
    end
    local value = var[name]
    if value and TIMES[name] then
        return total(value)
    end
    if value and NUMBERS[name] then
        return tonumber(value)
    end
    return value
end


local _M = {}


--- The current request, for `fetch`; nil where there is none of a client.
function _M.request()
    if PHASES[get_phase()] then
        return current_request()
    end
    return nil
end


local request_here = _M.request


--- The value of a variable, nil when it has none.
-- @param request what `request()` gave in this same request
function _M.fetch(name, request)
    local known = get and (names[name] or remember(name))
    if known then
        request = request or request_here()
        if request then
            local value = get(request, known, known.key)
            if value == nil then
                return nil
            end
            local bits = value.bits
            if band(bits, NOT_FOUND) ~= 0 then
                return nil
            end
            -- Not a tail call: LuaJIT could not translate this function by itself.
            local text = ffi_string(value.data, band(bits, LENGTH))
            return text
        end
    end
    return ask_ngx(name)
end


--- There is no patched nginx to make use of; for who calls it as a matter of habit.
function _M.enable_patch()
end


if IS_STREAM then
    --- In stream every request is one of a client.
    _M.request = current_request
end


return _M
