--- Many rules of one host, findable by path.
--
--   always    ascending positions of rules whatever the path
--   paths     by path, ascending positions
--   prefixes  sorted prefixes; lists[i]: ascending positions of prefixes[i]; shorter[i]: which other is the longest prefix
--             of prefixes[i], 0 for none
--
-- All prefixes of a path stand in the chain `shorter` that begins at the last prefix not above the path: whatever sorts
-- between a prefix of the path and the path begins with that prefix too. So one binary search finds them all.

local byte = string.byte
local min = math.min
local sort = table.sort

-- Rules or prefixes between two pauses.
local STRIDE = 64

-- How many bytes a and b have in common at their beginnings.
local function common_length(a, b)
    local length = min(#a, #b)
    for i = 1, length do
        if byte(a, i) ~= byte(b, i) then
            return i - 1
        end
    end
    return length
end

local function starts_with(text, prefix)
    return common_length(text, prefix) == #prefix
end

-- Ascending, each position once: a rule may come by several alternatives.
local function append(positions, position)
    if positions[#positions] ~= position then
        positions[#positions + 1] = position
    end
end

local function put(lists, name, position)
    local list = lists[name]
    if list then
        append(list, position)
    else
        lists[name] = { position }
    end
end

-- For each of the sorted prefixes, the position of the longest other that it begins with, or 0.
local function link_shorter(prefixes, pause)
    local shorter = {}
    for i = 1, #prefixes do
        local above = i - 1
        while above > 0 and not starts_with(prefixes[i], prefixes[above]) do
            above = shorter[above]
        end
        shorter[i] = above
        if i % STRIDE == 0 then
            pause()
        end
    end
    return shorter
end

-- The last of the sorted prefixes that is not above path, 0 for none.
local function last_not_above(prefixes, path)
    local low, high = 0, #prefixes
    while low < high do
        local middle = low + high + 1
        middle = (middle - middle % 2) / 2
        if prefixes[middle] <= path then
            low = middle
        else
            high = middle - 1
        end
    end
    return low
end

-- Sorts what is asked for of the path: always, paths, and positions by prefix.
local function sort_out(positions, conditions_of, pause)
    local always, paths, by_prefix = {}, {}, {}
    for i = 1, #positions do
        local position = positions[i]
        local conditions = conditions_of(position)
        for k = 1, #conditions do
            local condition = conditions[k]
            if condition.path then
                put(paths, condition.path, position)
            elseif condition.prefix then
                put(by_prefix, condition.prefix, position)
            else
                append(always, position)
            end
        end
        if i % STRIDE == 0 then
            pause()
        end
    end
    return always, paths, by_prefix
end


local _M = {}
local mt = { __index = _M }


--- positions: ascending. conditions_of(position): list of what may be asked of the path, each { path or prefix or neither }.
-- pause: called now and then.
function _M.new(positions, conditions_of, pause)
    local always, paths, by_prefix = sort_out(positions, conditions_of, pause)
    local prefixes, lists = {}, {}
    for prefix in pairs(by_prefix) do
        prefixes[#prefixes + 1] = prefix
    end
    sort(prefixes)
    for i = 1, #prefixes do
        lists[i] = by_prefix[prefixes[i]]
    end
    local shorter = link_shorter(prefixes, pause)
    return setmetatable({ always = always, paths = paths, prefixes = prefixes, lists = lists, shorter = shorter }, mt)
end


--- The least position of what `first(rules, positions, request, best)` finds in the lists that the request's path leads to.
function _M:find(first, rules, request, best)
    best = first(rules, self.always, request, best)
    local path = request.path
    if not path then
        return best
    end
    local exact = self.paths[path]
    if exact then
        best = first(rules, exact, request, best)
    end
    local prefixes = self.prefixes
    local at = last_not_above(prefixes, path)
    if at == 0 then
        return best
    end
    local common = common_length(prefixes[at], path)
    while at > 0 do
        if #prefixes[at] <= common then
            best = first(rules, self.lists[at], request, best)
        end
        at = self.shorter[at]
    end
    return best
end


return _M
