--- Many rules of one host, findable by path.
--
--   least     the first position of all
--   always    ascending positions of rules for any path
--   paths     by path, ascending positions
--   count     of the prefixes, which are sorted and numbered from 1
--   bytes     the prefixes one behind the other; starts[i]: where the one with number i begins, starts[count + 1]: their end
--   lists[i]  ascending positions of the rules with prefix i
--   shorter   by number, which other is the longest prefix of this one, 0 for none
--   search    see `index.search`
--
-- All prefixes of a path stand in the chain `shorter` that begins at the last prefix not above the path: all that sorts
-- between a prefix of the path and the path begins with that prefix too. So one binary search finds them all. Its data lie
-- close together: as texts in the Lua heap, each step of the search would wait for memory.

local affix = require "gateway.affix"
local ffi = require "ffi"
local searches = require "gateway.index.search"

local C = ffi.C
local begins_with = affix.begins_with
local concat = table.concat
local find = string.find
local sort = table.sort

local COPY = ffi.typeof("uint8_t[?]")
local NUMBERS = ffi.typeof("uint32_t[?]")

-- Rules or prefixes between two pauses.
local STRIDE = 64

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

-- The sorted prefixes as one piece of memory, and where each begins.
local function lay_out(prefixes)
    local text, starts = concat(prefixes), ffi.new(NUMBERS, #prefixes + 2)
    local bytes, start = ffi.new(COPY, #text), 0
    ffi.copy(bytes, text, #text)
    for i = 1, #prefixes do
        starts[i] = start
        start = start + #prefixes[i]
    end
    starts[#prefixes + 1] = start
    return bytes, starts
end

-- For each of the sorted prefixes, the number of the longest other that it begins with, or 0.
local function link_shorter(prefixes, pause)
    local shorter = ffi.new(NUMBERS, #prefixes + 1)
    for i = 1, #prefixes do
        local above = i - 1
        while above > 0 and not begins_with(prefixes[i], prefixes[above]) do
            above = shorter[above]
        end
        shorter[i] = above
        if i % STRIDE == 0 then
            pause()
        end
    end
    return shorter
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
            elseif not condition.prefix then
                append(always, position)
            elseif not find(condition.prefix, "\0", 1, true) then  -- nginx refuses paths with such a byte
                put(by_prefix, condition.prefix, position)
            end
        end
        if i % STRIDE == 0 then
            pause()
        end
    end
    return always, paths, by_prefix
end


-- The best match with the list of one prefix, if the path begins with that.
local function look_at(shelf, number, path, first, rules, request, best)
    local start = shelf.starts[number]
    if C.strncmp(shelf.bytes + start, path, shelf.starts[number + 1] - start) == 0 then
        return first(rules, shelf.lists[number], request, best)
    end
    return best
end

-- The same for it and all that are shorter.
local function look_at_all(shelf, number, path, first, rules, request, best)
    while number > 0 do
        best = look_at(shelf, number, path, first, rules, request, best)
        number = shelf.shorter[number]
    end
    return best
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
    local bytes, starts = lay_out(prefixes)
    return setmetatable({
        least = positions[1], always = always, paths = paths, count = #prefixes, bytes = bytes, starts = starts, lists = lists,
        shorter = link_shorter(prefixes, pause), search = searches.of(#prefixes),
    }, mt)
end


--- The least position of what `first(rules, positions, request, best)` finds in the lists that the request's path leads to.
function _M:find(first, rules, request, best)
    if self.least >= best then
        -- Rules without a host mostly stand behind those that have one.
        return best
    end
    best = first(rules, self.always, request, best)
    local path = request.path
    if not path then
        return best
    end
    local exact = self.paths[path]
    if exact then
        best = first(rules, exact, request, best)
    end
    local number = self.search(self.bytes, self.starts, self.count, path)
    if number == 0 then
        return best
    end
    best = look_at(self, number, path, first, rules, request, best)
    number = self.shorter[number]
    if number == 0 then
        return best
    end
    return look_at_all(self, number, path, first, rules, request, best)
end


return _M
