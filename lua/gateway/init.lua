--- The gateway: the functions that nginx calls as it starts.
--
--     init_by_lua_block { require("gateway").init() }
--     init_worker_by_lua_block { require("gateway").init_worker() }

local balancers = require "gateway.balancers"
local caches = require "gateway.caches"
local health = require "gateway.health"
local jit_opt = require "jit.opt"
local listening = require "gateway.listening"
local metrics = require "gateway.metrics"
local options = require "gateway.options"
local reader = require "gateway.reader"
local shelf = require "gateway.shelf"

local ERR = ngx.ERR
local log = ngx.log

-- The modules that the configuration's phases call.
local PHASES = {
    http = { "gateway.http", "gateway.status" },
    stream = { "gateway.stream" },
}

-- How much garbage may lie in Lua's heap: a collection begins when the heap has PAUSE percent of what was in use after the one
-- before, and does STEP percent of work for what is allocated meanwhile, in steps so small that no request waits. LuaJIT's own
-- values are 200 and 200: that each is over sooner saves memory, as less garbage is made while it lasts.
local PAUSE, STEP = 200, 400

-- A request's way to its answer is one trace, if LuaJIT lets it have that many constants: it stops at 500 otherwise, and after
-- some tries never translates the way again.
local MOST_CONSTANTS = 2000

-- Patched nginx calls itself openresty.
local SERVER = "nginx"

local is_refreshing = false


-- Logs the error of a call that returns nil, err.
local function complain(ok, err)
    if not ok and err then
        log(ERR, "gateway: ", err)
    end
end


local function refresh()
    complain(caches.update())
    complain(caches.check())
    complain(balancers.refresh())
    health.refresh()
end


local function on_timer(premature)
    if premature or is_refreshing then
        return
    end
    is_refreshing = true
    complain(xpcall(refresh, debug.traceback))
    is_refreshing = false
end


local _M = {}


--- Checks the options; nginx does not start when any of them is wrong.
-- @param overrides table of options, see `gateway.options`; what it lacks comes from the environment
function _M.init(overrides)
    options.configure(overrides)
    jit_opt.start("maxirconst=" .. MOST_CONSTANTS)
    collectgarbage("setpause", PAUSE)
    collectgarbage("setstepmul", STEP)
    local is_patched = reader.prepare()
    -- Here, before the workers are forked, rather than by the first request.
    for _, name in ipairs(PHASES[ngx.config.subsystem]) do
        require(name)
    end
    if is_patched and ngx.config.subsystem == "http" then
        require("gateway.http.response").call_server(SERVER)
    end
end


--- Starts what each process of nginx needs, and the reader in one of them.
function _M.init_worker()
    -- All workers are copies of one process: without a seed of their own they would all pick the same peers at the same time.
    math.randomseed(ngx.worker.pid() + ngx.now() * 1000)
    caches.start()
    health.start()
    if ngx.config.subsystem == "http" then
        complain(metrics.start())
    end
    if ngx.worker.id() then  -- the privileged agent has none, and no listeners
        complain(shelf.open():save_listening(listening.ports()))
    end
    complain(reader.start())
    -- How long a worker may hold what is no longer in force, should an event be lost.
    complain(ngx.timer.every(options.get().policy_interval, on_timer))
end


return _M
