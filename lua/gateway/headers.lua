--- A rule's changes to the headers of a request or of a response: first remove, then set, then add.
--
-- The changes are { set = { { name, value }, ... }, add = the same, remove = { name, ... } }.

local _M = {}


--- Change headers.
-- @param remove function(name)
-- @param set function(name, value): in the place of all that have this name
-- @param add function(name, value): besides those that have this name
function _M.apply(changes, remove, set, add)
    for _, name in ipairs(changes.remove) do
        remove(name)
    end
    for _, header in ipairs(changes.set) do
        set(header[1], header[2])
    end
    for _, header in ipairs(changes.add) do
        add(header[1], header[2])
    end
end


return _M
