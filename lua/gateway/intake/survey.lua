--- A look at the policy in force as a whole, for parts that have no effect. Each finding is one line, and the same line for as
-- long as it holds.
--
-- The facts about a member were noted when it was parsed. After another process's policy was taken over nothing is noted, and
-- the members are parsed once more; that is after the policy was put in force, and waits for others now and then.
--
-- Which ports nginx listens on is another matter: it changes without the policy, and is known only once a worker has started.

local shelf_module = require "gateway.shelf"

local concat = table.concat
local find = string.find
local ipairs = ipairs
local next = next
local pairs = pairs
local sort = table.sort

local GROUPS = shelf_module.GROUPS
local STRIDE = 64
-- Names in one line.
local MOST_NAMES = 10
local LIST_KEY = "^(%l+)_(%l+)_(%d+)$"


-- Set of names -> "a, b and 3 more".
local function enumerate(set)
    local names = {}
    for name in pairs(set) do
        names[#names + 1] = name
    end
    sort(names)
    local more = #names - MOST_NAMES
    if more > 0 then
        return concat(names, ", ", 1, MOST_NAMES) .. " and " .. more .. " more"
    end
    return concat(names, ", ")
end


local function add_line(lines, text, set)
    if next(set) then
        lines[#lines + 1] = text .. ": " .. enumerate(set)
    end
end


local function note_unknown(found, names, place)
    for _, name in ipairs(names or {}) do
        found.unknown[place .. name] = true
        found.count_unknown = found.count_unknown + 1
    end
end


-- The facts about a rule on the shelf: its id, its group, names of unknown fields.
local function about_rule(intake, digest)
    local about = intake.about_rules
    if about.id[digest] == nil then
        intake:note_rule(digest, intake.parse_rule(intake.shelf:body("rule", digest) or "") or {})
    end
    return about.id[digest], about.upstream[digest], about.unknown[digest]
end


local function look_at_rules(intake, list, place, found, pause)
    local ids, repeated = {}, {}
    for i, digest in ipairs(list.members) do
        local id, upstream, unknown = about_rule(intake, digest)
        if id and ids[id] then
            repeated["'" .. id .. "'"] = true
        end
        ids[id or ""] = true
        if upstream and not found.groups[upstream] then
            found.absent["'" .. upstream .. "'"] = true
        end
        note_unknown(found, unknown, "rule.")
        if i % STRIDE == 0 then
            pause()
        end
    end
    add_line(found.lines, place .. ": several rules have the same id", repeated)
end


local function look_at_groups(intake, found, pause)
    local list = intake.lists[GROUPS]
    for i, digest in ipairs(list and list.members or {}) do
        local about = intake:about_group(digest)
        if about then
            found.groups[about.name] = true
            if about.is_idle then
                found.idle["'" .. about.name .. "'"] = true
            end
            note_unknown(found, about.unknown, "backend_group.")
        end
        if i % STRIDE == 0 then
            pause()
        end
    end
end


local _M = {}


--- @param intake after it has put a document in force
-- @param sections names of the document's sections that are not known
-- @param pause called now and then; may wait
-- @return lines; and how many unknown sections and fields there are
function _M.run(intake, sections, pause)
    local found = { lines = {}, groups = {}, idle = {}, absent = {}, unknown = {}, count_unknown = 0 }
    note_unknown(found, sections, "")
    look_at_groups(intake, found, pause)
    for key, list in pairs(intake.lists) do
        local subsystem, protocol, port = key:match(LIST_KEY)
        if subsystem then
            look_at_rules(intake, list, subsystem .. " " .. protocol .. " port " .. port, found, pause)
        end
    end
    sort(found.lines)
    add_line(found.lines, "not known to the gateway, without effect", found.unknown)
    add_line(found.lines, "rules name groups that the policy does not have", found.absent)
    add_line(found.lines, "groups whose backends all have weight 0", found.idle)
    return found.lines, found.count_unknown
end


--- The finding about ports of the policy that nginx has no listener for.
-- @param ports number of rules by list key
-- @param listening as from the shelf, or nil when it is not known
-- @return list of one line, or of none
function _M.unheard(ports, listening)
    local lines, unheard = {}, {}
    for key, count in pairs(ports) do
        local subsystem, protocol, port = key:match(LIST_KEY)
        if listening and protocol == "tcp" and count > 0 and not find(listening, " " .. port .. " ", 1, true) then
            unheard[subsystem .. " tcp port " .. port] = true
        end
    end
    add_line(lines, "rules of ports that nginx does not listen on", unheard)
    return lines
end


return _M
