--- The parts of a request that tests of expressions read: MATCHER, for some with a key.
--
-- A matcher is { keyed = boolean, reader = function(key) -> function(request) -> text or nil }. Readers of the matchers
-- without a key are the same function for all rules.

local lower = string.lower

local function read_host(request)
    return request.host
end

local function read_path(request)
    return request.path
end

local function read_method(request)
    return request:method()
end

local function read_source(request)
    return request:source()
end

local function plain(read)
    return { keyed = false, reader = function() return read end }
end

local function header_reader(key)
    local name = lower(key)
    return function(request)
        return request:header(name)
    end
end

local function param_reader(key)
    return function(request)
        return request:param(key)
    end
end

local function cookie_reader(key)
    return function(request)
        return request:cookie(key)
    end
end


return {
    HOST = plain(read_host),
    URL = plain(read_path),
    METHOD = plain(read_method),
    SRC_IP = plain(read_source),
    HEADER = { keyed = true, reader = header_reader },
    PARAM = { keyed = true, reader = param_reader },
    COOKIE = { keyed = true, reader = cookie_reader },
}
