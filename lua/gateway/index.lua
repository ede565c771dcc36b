--- Ordered rules, findable by host and path: the same answer as trying each rule in order, without trying each.
--
-- A rule has keys inscribed (what must hold before it can match, see expression.keys) and `test` (function(request) -> boolean, the
-- truth), or no test where the keys say it all. Rules lie by host, by the host's parent ("*.parent") or under "any host". The
-- rules of one place are a *slot*: the position of one rule, or an ascending list of few positions, or a shelf (`index.shelf`) of many.

local keys = require "gateway.expression.keys"
local shelf = require "gateway.index.shelf"

local find = string.find
local hold = keys.hold
local sub = string.sub

-- Up to here it is cheaper to try all rules of a host than to look at the path.
local MOST_LISTED = 8

-- Rules between two pauses.
local STRIDE = 64

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

-- The first of a rule's alternatives: the rule itself. One without keys is an alternative that asks for nothing.
local function first_alternative(rule)
    return not rule.never and rule or nil
end

-- Of a rule's alternatives those that lie under name: "host" or "wildcard" is name, or neither is asked for.
local function alternatives_under(rule, condition, name)
    local found, key = {}, first_alternative(rule)
    while key do
        if condition and key[condition] == name or not (condition or key.host or key.wildcard) then
            found[#found + 1] = key
        end
        key = key.other
    end
    return found
end

-- Makes shelves of long lists.
local function shelve(slots, rules, condition, pause)
    for name, slot in pairs(slots) do
        if type(slot) == "table" and #slot > MOST_LISTED then
            slots[name] = shelf.new(slot, function(position)
                return alternatives_under(rules[position], condition, name)
            end, pause)
        end
    end
end

-- Where the rules lie: { hosts = slots by host, parents = slots by parent or nil, any = slot or nil }.
local function place(rules, pause)
    local hosts, parents, any = {}, {}, {}
    for position = 1, #rules do
        local key = first_alternative(rules[position])
        while key do
            if key.host then
                put(hosts, key.host, position)
            elseif key.wildcard then
                put(parents, key.wildcard, position)
            else
                put(any, ANY, position)
            end
            key = key.other
        end
        if position % STRIDE == 0 then
            pause()
        end
    end
    shelve(hosts, rules, "host", pause)
    shelve(parents, rules, "wildcard", pause)
    shelve(any, rules, nil, pause)
    return { hosts = hosts, parents = next(parents) and parents, any = any[ANY] }
end

-- Whether the alternatives of two rules are the same.
local function same_keys(a, b)
    while a and b do
        if a.host ~= b.host or a.wildcard ~= b.wildcard or a.path ~= b.path or a.prefix ~= b.prefix or a.never ~= b.never then
            return false
        end
        a, b = a.other, b.other
    end
    return a == b
end

-- Whether the rules can be found as those of the index `previous` are: the same keys at the same positions.
local function lie_alike(rules, previous)
    local before = previous.rules
    if #rules ~= #before then
        return false
    end
    for i = 1, #rules do
        if rules[i] ~= before[i] and not same_keys(rules[i], before[i]) then
            return false
        end
    end
    return true
end

-- Whether a rule matches.
local function matches(rule, request)
    local test = rule.test
    if test then
        return test(request)
    end
    return hold(rule, request)
end

-- Whether a rule matches whose keys are known to hold.
local function matches_besides(rule, request)
    local test = rule.test
    return not test or test(request)
end

local function first_of_rest(rules, positions, does_match, request, best)
    for i = 2, #positions do
        local position = positions[i]
        if position >= best then
            return best
        end
        if does_match(rules[position], request) then
            return position
        end
    end
    return best
end

-- The first of positions, below best, whose rule matches; else best. Mostly there is no more than one: LuaJIT translates what calls
-- this as a whole if it meets no loop on its way.
local function first_of(rules, positions, does_match, request, best)
    local position = positions[1]
    if not position or position >= best then
        return best
    end
    if does_match(rules[position], request) then
        return position
    end
    if positions[2] then
        return first_of_rest(rules, positions, does_match, request, best)
    end
    return best
end

local function first_of_found(rules, positions, request, best)
    return first_of(rules, positions, matches_besides, request, best)
end

local function first_in(rules, slot, request, best)
    if type(slot) == "number" then
        return slot < best and matches(rules[slot], request) and slot or best
    end
    if slot.always then
        return slot:find(first_of_found, rules, request, best)
    end
    return first_of(rules, slot, matches, request, best)
end


local _M = {}
local mt = { __index = _M }


--- rules: list in order; kept, and not to be changed afterwards. pause: called every few microseconds of work, so that the
-- caller may let others run; may be nil. previous: an index made earlier, or nil; when the rules differ from its rules in
-- anything but what they match, its places are used again, which costs a hundredth.
function _M.new(rules, pause, previous)
    local places = previous and lie_alike(rules, previous) and previous.places or place(rules, pause or no_pause)
    return setmetatable({ rules = rules, none = #rules + 1, places = places }, mt)
end


--- The first rule that matches, and its position; nil when there is none.
function _M:find(request)
    local rules, places, none, host = self.rules, self.places, self.none, request.host
    local best = none
    if host then
        local slot = places.hosts[host]
        if slot then
            best = first_in(rules, slot, request, best)
        end
        local dot = places.parents and find(host, ".", 1, true)
        slot = dot and dot > 1 and places.parents[sub(host, dot + 1)]
        if slot then
            best = first_in(rules, slot, request, best)
        end
    end
    if places.any then
        best = first_in(rules, places.any, request, best)
    end
    if best == none then
        return nil
    end
    return rules[best], best
end


return _M
