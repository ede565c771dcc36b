--- A stretch of work that lets others run: long loops call `pause` now and then, and once the stretch has taken its few
-- milliseconds the event loop gets its turn.
--
-- Where the phase does not allow waiting (init_worker) `pause` only measures.

local get_phase = ngx.get_phase
local now = ngx.now
local sleep = ngx.sleep
local update_time = ngx.update_time
local max = math.max
local setmetatable = setmetatable

-- Seconds of work at a stretch, and of waiting between two. No wait at all would do, but nginx without OpenResty's patches logs a
-- warning for each such wait.
local BUDGET = 0.003
local BREAK = 0.001

local MAY_WAIT = {
    rewrite = true,
    access = true,
    content = true,
    timer = true,
    ssl_cert = true,
    preread = true,
}

local _M = {}
local mt = { __index = _M }


--- Begins a stretch.
-- @return slice; its field `longest` is the longest stretch so far, in seconds
function _M.new()
    update_time()
    return setmetatable({ began = now(), longest = 0, may_wait = MAY_WAIT[get_phase()] }, mt)
end


--- Lets others run when this stretch has taken its time.
function _M:pause()
    update_time()
    local worked = now() - self.began
    self.longest = max(self.longest, worked)
    if worked < BUDGET or not self.may_wait then
        return
    end
    sleep(BREAK)
    update_time()
    self.began = now()
end


--- A function that does what `pause` does for a stretch that begins now.
function _M.pauser()
    local stretch = _M.new()
    return function()
        stretch:pause()
    end
end


return _M
