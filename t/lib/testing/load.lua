--- Load that goes on while a block does something else: some threads that make one request after the other.

local testing = require "testing"

local setmetatable = setmetatable

local _M = {}
local mt = { __index = _M }


local function run(self, request)
    while not self.ended do
        local ok, err = request()
        self.done = self.done + 1
        if not ok then
            self.failed = self.failed + 1
            self.first_failure = self.first_failure or tostring(err)
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


--- Begin requests of one path that this status is to answer. options: as of testing.request
function _M.requests(count, path, status, options)
    return _M.start(count, function()
        local answer, err = testing.request(path, options)
        return answer and answer.status == status, answer and answer.status or err
    end)
end


--- End.
function _M:stop()
    self.ended = true
    for _, thread in ipairs(self.threads) do
        assert(ngx.thread.wait(thread))
    end
end


--- End, and tell "0 failed", and what else is wrong: not more requests than `least` were made, or some failed.
function _M:report(least)
    self:stop()
    return self.failed .. " failed" .. (self.done > least and "" or ", but too few were made: " .. self.done)
        .. (self.first_failure and ", the first by: " .. self.first_failure or "")
end


return _M
