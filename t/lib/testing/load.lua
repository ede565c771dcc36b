--- Load that goes on while a block does something else: some threads that make one request after the other.

local setmetatable = setmetatable

local _M = {}
local mt = { __index = _M }


local function run(self, request)
    while not self.ended do
        local ok, err = request()
        self.done = self.done + 1
        if not ok then
            self.failed = self.failed + 1
            self.first_failure = self.first_failure or ", the first by: " .. tostring(err)
        end
    end
end


--- Begin.
-- @param count of threads
-- @param request function that makes one; returns whether it was served, and what it got otherwise
function _M.start(count, request)
    local self = setmetatable({ done = 0, failed = 0, threads = {} }, mt)
    for i = 1, count do
        self.threads[i] = ngx.thread.spawn(run, self, request)
    end
    return self
end


--- End, and tell: { done, failed, first_failure = text | nil }.
function _M:stop()
    self.ended = true
    for _, thread in ipairs(self.threads) do
        assert(ngx.thread.wait(thread))
    end
    return self
end


return _M
