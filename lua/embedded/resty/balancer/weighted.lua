--- The common part of the weighted pickers of this folder: nodes with weights, and the methods that change them.
--
-- A picker is an object with a table `nodes` (id -> weight) and with all that its class derives from that table. A class
-- gives one function, `derive(self)`, which is called after every change of `nodes`; it must leave the picker as it was
-- when it throws.
--
-- Weights are non-negative integers, or their decimal text; a node of weight 0 is never picked. Anything else is the
-- caller's mistake and throws.

local error = error
local ipairs = ipairs
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable
local tonumber = tonumber
local tostring = tostring
local type = type
local sort = table.sort


-- `level`: how many frames above this one the caller to blame stands.
local function whole(id, value, level)
    local number = tonumber(value)
    if not number or number < 0 or number % 1 ~= 0 then
        error("the weight of node '" .. tostring(id) .. "' must be a non-negative integer, not " .. tostring(value), level)
    end
    return number
end


local function copy(nodes)
    if type(nodes) ~= "table" then
        error("nodes must be a table of id -> weight, not " .. type(nodes), 3)
    end
    local checked = {}
    for id, weight in pairs(nodes) do
        checked[id] = whole(id, weight, 4)
    end
    return checked
end


-- Puts `nodes` in force, or throws and leaves the old ones. `level` as above.
local function replace(self, nodes, level)
    local before = self.nodes
    self.nodes = nodes
    local ok, err = pcall(self.derive, self)
    if not ok then
        self.nodes = before
        error(err, level)
    end
end


local function change(self, id, weight)
    local nodes = {}
    for other, its in pairs(self.nodes) do
        nodes[other] = its
    end
    nodes[id] = weight > 0 and weight or nil
    replace(self, nodes, 4)
end


local _M = {}


--- The ids that can be picked, in an order that depends on nothing but the ids, so that all workers agree on it.
function _M.usable_ids(nodes)
    local ids = {}
    for id, weight in pairs(nodes) do
        if weight > 0 then
            ids[#ids + 1] = id
        end
    end
    sort(ids, function(a, b) return tostring(a) < tostring(b) end)
    return ids
end


--- The greatest common divisor of the weights of `ids`; 0 when there are none.
function _M.common_divisor(nodes, ids)
    local divisor = 0
    for _, id in ipairs(ids) do
        local a, b = divisor, nodes[id]
        while b > 0 do
            a, b = b, a % b
        end
        divisor = a
    end
    return divisor
end


--- A class of pickers with `new`, `reinit`, `set`, `incr`, `decr` and `delete`.
-- @param derive function(self): derives from `self.nodes` what the class needs
function _M.class(derive)
    local class = { derive = derive }
    local mt = { __index = class }

    --- `nodes`: table id -> weight; it is copied.
    function class.new(_, nodes)
        local self = setmetatable({}, mt)
        replace(self, copy(nodes), 3)
        return self
    end

    function class:reinit(nodes)
        replace(self, copy(nodes), 3)
    end

    --- Sets the weight of a node, which need not exist yet.
    function class:set(id, weight)
        change(self, id, whole(id, weight, 3))
    end

    --- Adds `step` (default 1) to the weight of a node, which need not exist yet.
    function class:incr(id, step)
        change(self, id, (self.nodes[id] or 0) + whole(id, step or 1, 3))
    end

    --- Takes `step` (default 1) from the weight of a node; a node whose weight is used up goes.
    function class:decr(id, step)
        change(self, id, (self.nodes[id] or 0) - whole(id, step or 1, 3))
    end

    function class:delete(id)
        change(self, id, 0)
    end

    return class
end


return _M
