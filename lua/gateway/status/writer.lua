--- A long answer, sent in pieces of some size as it is made: neither one large text nor a system call for each line.

local flush = ngx.flush
local print = ngx.print
local setmetatable = setmetatable

local PIECE = 64 * 1024

local _M = {}
local mt = { __index = _M }


--- Begins the answer of the request that is being served.
function _M.new()
    return setmetatable({ texts = {}, count = 0, bytes = 0 }, mt)
end


-- Waits until the client has taken what was sent, so that a slow one does not make the gateway hold all of it.
local function send(self)
    print(self.texts)
    self.texts, self.count, self.bytes = {}, 0, 0
    return flush(true)
end


function _M:write(text)
    self.count = self.count + 1
    self.texts[self.count] = text
    self.bytes = self.bytes + #text
    if self.bytes >= PIECE then
        send(self)
    end
end


function _M:finish()
    send(self)
end


return _M
