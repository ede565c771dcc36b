--- Ordered rules, findable by host and path: the same answer as trying each rule in order, without trying each.
--
-- A rule has `keys` (what must hold before it can match, see expression.keys) and `test` (function(request) -> boolean, the truth),
-- or no test where the keys say it all. Rules lie by host, by the host's parent ("*.parent") or under "any host". What lies
-- together is a *slot*: the position of one rule, or an ascending list of few positions, or a shelf (`index.shelf`) of many.

local keys_of = require "gateway.expression.keys"
local shelf = require "gateway.index.shelf"

local find = string.find
local hold = keys_of.hold
local sub = string.sub

-- Up to here it is cheaper to try all rules of a host than to look at the path.
local MOST_LISTED = 8

-- Rules between two pauses.
local STRIDE = 64

-- The keys of a rule without keys: one alternative, which asks for nothing.
local NO_CONDITION = { {} }

local ANY = 1  -- the only name under "any host"

local function no_pause()
end

-- Adds a position to what lies under name.
local function put(slots, name, position)
    local slot = slots[name]
    if not slot then
        slots[name] = position
    elseif type(slot) == "number" then
        if slot ~= position then
            slots[name] = { slot, position }
        end
    elseif slot[#slot] ~= position then
        slot[#slot + 1] = position
    end
end

-- Of a rule's alternatives those that lie under name: "host" or "wildcard" is name, or neither is asked for.
local function alternatives_under(keys, condition, name)
    local found = {}
    for i = 1, #keys do
        local key = keys[i]
        if condition and key[condition] == name or not (condition or key.host or key.wildcard) then
            found[#found + 1] = key
        end
    end
    return found
end

-- Makes shelves of long lists.
local function shelve(slots, rules, condition, pause)
    for name, slot in pairs(slots) do
        if type(slot) == "table" and #slot > MOST_LISTED then
            slots[name] = shelf.new(slot, function(position)
                return alternatives_under(rules[position].keys or NO_CONDITION, condition, name)
            end, pause)
        end
    end
end

local function build(rules, pause)
    local hosts, parents, any = {}, {}, {}
    for position = 1, #rules do
        local keys = rules[position].keys or NO_CONDITION
        for i = 1, #keys do
            local key = keys[i]
            if key.host then
                put(hosts, key.host, position)
            elseif key.wildcard then
                put(parents, key.wildcard, position)
            else
                put(any, ANY, position)
            end
        end
        if position % STRIDE == 0 then
            pause()
        end
    end
    shelve(hosts, rules, "host", pause)
    shelve(parents, rules, "wildcard", pause)
    shelve(any, rules, nil, pause)
    return { rules = rules, hosts = hosts, parents = next(parents) and parents, any = any[ANY] }
end

local function same_key(a, b)
    return a.host == b.host and a.wildcard == b.wildcard and a.path == b.path and a.prefix == b.prefix
end

local function same_keys(a, b)
    if a == b then
        return true
    end
    if not (a and b) or #a ~= #b then
        return false
    end
    for i = 1, #a do
        if not same_key(a[i], b[i]) then
            return false
        end
    end
    return true
end

-- Whether the rules can be found as those of the index `previous` are: the same keys at the same positions.
local function lie_alike(rules, previous)
    local before = previous.rules
    if #rules ~= #before then
        return false
    end
    for i = 1, #rules do
        if rules[i] ~= before[i] and not same_keys(rules[i].keys, before[i].keys) then
            return false
        end
    end
    return true
end

-- Whether a rule that lies under the request's host matches.
local function matches(rule, request)
    local test = rule.test
    if test then
        return test(request)
    end
    return hold(rule.keys, request)
end

-- The first of positions, below best, whose rule matches; else best.
local function first_of_few(rules, positions, request, best)
    for i = 1, #positions do
        local position = positions[i]
        if position >= best then
            return best
        end
        if matches(rules[position], request) then
            return position
        end
    end
    return best
end

-- The same where the keys of the rules are known to hold.
local function first_of_found(rules, positions, request, best)
    for i = 1, #positions do
        local position = positions[i]
        if position >= best then
            return best
        end
        local test = rules[position].test
        if not test or test(request) then
            return position
        end
    end
    return best
end

local function first_in(rules, slot, request, best)
    if type(slot) == "number" then
        return slot < best and matches(rules[slot], request) and slot or best
    end
    if slot.always then
        return slot:find(first_of_found, rules, request, best)
    end
    return first_of_few(rules, slot, request, best)
end


local _M = {}
local mt = { __index = _M }


--- rules: list in order; kept, and not to be changed afterwards. pause: called every few microseconds of work, so that the
-- caller may let others run; may be nil. previous: an index made earlier, or nil; when the rules differ from its rules in
-- anything but what they match, what it knows is used again, which costs a hundredth.
function _M.new(rules, pause, previous)
    if previous and lie_alike(rules, previous) then
        return setmetatable({ rules = rules, hosts = previous.hosts, parents = previous.parents, any = previous.any }, mt)
    end
    return setmetatable(build(rules, pause or no_pause), mt)
end


--- The first rule whose test is true, and its position; nil when there is none.
function _M:find(request)
    local rules, host = self.rules, request.host
    local none = #rules + 1
    local best = none
    if host then
        local slot = self.hosts[host]
        if slot then
            best = first_in(rules, slot, request, best)
        end
        local dot = self.parents and find(host, ".", 1, true)
        slot = dot and dot > 1 and self.parents[sub(host, dot + 1)]
        if slot then
            best = first_in(rules, slot, request, best)
        end
    end
    if self.any then
        best = first_in(rules, self.any, request, best)
    end
    if best == none then
        return nil
    end
    return rules[best], best
end


return _M
