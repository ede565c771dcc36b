--- A connection of layer 4 as balancers read it: the client's address, and nothing that only HTTP has.

local setmetatable = setmetatable

local _M = {}
local mt = { __index = _M }


--- @param address of the client
function _M.new(address)
    return setmetatable({ address = address }, mt)
end


function _M:source()
    return self.address
end


local function nothing()
    return nil
end


_M.header = nothing
_M.cookie = nothing


return _M
