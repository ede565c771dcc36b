--- Weighted round robin.
--
-- `roundrobin:new(nodes)` takes a table id -> weight that is not empty (see resty.balancer.weighted, which also gives
-- `reinit`, `set`, `incr`, `decr` and `delete`). In each cycle of as many picks as the weights add up to, after division
-- by their greatest common divisor, every node is picked exactly as often as its weight says.
--
-- A node of weight w is due w times in a cycle of length 1, at (phase + k) / w; a heap of the due times gives the next
-- node in O(log nodes), and the picks of a heavy node are spread over the cycle instead of coming in one run. The phases
-- are drawn with `math.random`, so that the workers of a machine do not all begin with the same node: seed it per worker.

local weighted = require "resty.balancer.weighted"

local error = error
local ipairs = ipairs
local next = next
local random = math.random
local type = type


-- Moves what stands at `place` of the heap `due`, `owners` (arrays from 1 to `count`) down to where it belongs.
local function sift_down(due, owners, count, place)
    local time, owner = due[place], owners[place]
    while true do
        local child = 2 * place
        if child > count then
            break
        end
        if child < count and due[child + 1] < due[child] then
            child = child + 1
        end
        if time <= due[child] then
            break
        end
        due[place], owners[place] = due[child], owners[child]
        place = child
    end
    due[place], owners[place] = time, owner
end


-- Starts a cycle. Each starts from the same state, so that no rounding of due times adds up.
local function begin_cycle(self)
    local due, owners, picked = self.due, self.owners, self.picked
    local phases, shares, count = self.phases, self.shares, self.count
    for i = 1, count do
        due[i], owners[i], picked[i] = phases[i] / shares[i], i, 0
    end
    for place = (count - count % 2) / 2, 1, -1 do
        sift_down(due, owners, count, place)
    end
    self.left = self.total
end


local function derive(self)
    local nodes = self.nodes
    local ids = weighted.usable_ids(nodes)
    local gcd = weighted.common_divisor(nodes, ids)
    local phases, shares, total = {}, {}, 0
    for i, id in ipairs(ids) do
        phases[i] = 1 - random()
        shares[i] = nodes[id] / gcd
        total = total + shares[i]
    end
    self.ids, self.phases, self.shares = ids, phases, shares
    self.due, self.owners, self.picked = {}, {}, {}
    self.count, self.total, self.gcd = #ids, total, gcd
    begin_cycle(self)
end


local _M = weighted.class(derive)

local new, reinit = _M.new, _M.reinit


local function require_nodes(nodes)
    if type(nodes) == "table" and next(nodes) == nil then
        error("empty nodes", 3)
    end
end


function _M.new(class, nodes)
    require_nodes(nodes)
    return new(class, nodes)
end


function _M:reinit(nodes)
    require_nodes(nodes)
    reinit(self, nodes)
end


--- The next node; nil when all weights are 0.
function _M:find()
    local count = self.count
    if count == 0 then
        return nil
    end
    if self.left == 0 then
        begin_cycle(self)
    end
    self.left = self.left - 1
    local due, owners, picked = self.due, self.owners, self.picked
    local owner = owners[1]
    local times = picked[owner] + 1
    picked[owner] = times
    due[1] = (self.phases[owner] + times) / self.shares[owner]
    sift_down(due, owners, count, 1)
    return self.ids[owner]
end


return _M
