--- Common parts of the tests of resty.mlcache: a cache, a callback that answers as it is told, and a channel that writes down what is sent.

local lrucache = require "resty.lrucache"
local mlcache = require "resty.mlcache"

local _M = {}

--- A cache called "one" over the dictionary `cache`, with the options given. Returns it and its first level, which is a new one.
function _M.new(opts)
    opts = opts or {}
    opts.lru = lrucache.new(100)
    return assert(mlcache.new("one", "cache", opts)), opts.lru
end

--- A function that looks "key" up in the cache and says value, error and level.
-- answers: what the callback returns, call by call, each a list.
function _M.asking(cache, answers)
    local calls = 0
    local function callback()
        calls = calls + 1
        return unpack(answers[calls], 1, 3)
    end

    return function(opts)
        local value, err, level = cache:get("key", opts, callback)
        ngx.say(value, " ", err, " ", level)
    end
end

--- The option `ipc` of a channel without listeners, and the list of what is sent over it: "2: channel data", where 2 is the
-- number of arguments.
function _M.channel()
    local sent = {}
    local function broadcast(...)
        sent[#sent + 1] = select("#", ...) .. ": " .. table.concat({ ... }, " ")
        return true
    end

    return { register_listeners = function() end, broadcast = broadcast }, sent
end

--- Says number, value, error and level of each result of get_bulk().
function _M.say_results(results)
    for number, value, err, level in mlcache.each_bulk_res(results) do
        ngx.say(number, ": ", value, " ", err, " ", level)
    end
end

return _M
