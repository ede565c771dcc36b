--- From the texts of the shelf to what requests work with: the step from L2 to L1.
--
-- Rules, groups and certificates that this worker has already made are taken from a memory by digest, so that a new policy
-- costs what changed in it. The memory is weak: it keeps nothing that is no longer in use.

local certificate = require "gateway.certificate"
local cjson = require "cjson.safe"
local digest_of = require("gateway.digest").of
local garbage = require "gateway.garbage"
local group = require "gateway.group"
local index = require "gateway.index"
local new_table = require "table.new"
local rule = require "gateway.rule"
local slice = require "gateway.slice"

local ERR = ngx.ERR
local log = ngx.log
local setmetatable = setmetatable

-- Members between two looks at the clock.
local STRIDE = 16

local WEAK = { __mode = "v" }
local memory = {
    rule = setmetatable({}, WEAK),
    stream_rule = setmetatable({}, WEAK),
    group = setmetatable({}, WEAK),
    certificate = setmetatable({}, WEAK),
}

-- The index made last for each port, which the next one may build on.
local indexes = setmetatable({}, WEAK)

-- How each kind of member is made of its text.
local PARSE = {
    rule = rule.parse,
    stream_rule = rule.parse_stream,
    group = group.parse,
    certificate = certificate.parse,
}

-- Where the text of a member lies on the shelf.
local BODY = { rule = "rule", stream_rule = "rule", group = "group" }


local function decode_list(text)
    local list, err = cjson.decode(text)
    if not list then
        return nil, "could not decode a list of the shelf: " .. err
    end
    return list
end


-- Makes a member of its text; nil, err when that is not there; nil when it is not usable.
local function make(shelf, kind, digest)
    local text = shelf:body(BODY[kind], digest)
    if not text then
        return nil, BODY[kind] .. " " .. digest .. " is not on the shelf any more"
    end
    local made, err = PARSE[kind](text)
    if not made then
        -- The reader has checked it, so this happens only when the two differ, as during a change of the program.
        log(ERR, "policy: ", BODY[kind], " ", digest, " left out: ", err)
        return nil
    end
    memory[kind][digest] = made
    return made
end


-- All usable members of a list, in order; or nil, err when one has gone meanwhile.
local function members(shelf, kind, digests)
    local known, stretch = memory[kind], slice.new()
    local found, count, parsed = new_table(#digests, 0), 0, 0
    for i = 1, #digests do
        local member, err = known[digests[i]], nil
        if not member then
            member, err = make(shelf, kind, digests[i])
            parsed = parsed + 1
        end
        if err then
            return nil, err
        end
        if member then
            count = count + 1
            found[count] = member
        end
        if i % STRIDE == 0 then
            stretch:pause()
        end
    end
    garbage.follow(parsed)
    return found, stretch
end


-- Layer 4 has nothing to match: the first rule of the port takes all its connections.
local Sole = {}
Sole.__index = Sole

function Sole:find()
    return self.rules[1], self.rules[1] and 1
end


local _M = {}


--- The rules of a port.
-- @param text of the list, as on the shelf
-- @return index with a `stamp`; or nil, err when the list is no longer in force
function _M.index(shelf, text)
    local list, err = decode_list(text)
    if not list then
        return nil, err
    end
    local is_stream = list.key:find("^stream_") ~= nil
    local rules, stretch = members(shelf, is_stream and "stream_rule" or "rule", list.members)
    if not rules then
        return nil, stretch
    end
    local made
    if is_stream then
        made = setmetatable({ rules = rules }, Sole)
    else
        made = index.new(rules, function()
            stretch:pause()
        end, indexes[list.key])
        indexes[list.key] = made
    end
    made.stamp = list.version
    return made
end


--- The backend groups.
-- @param text of the list, as on the shelf
-- @return { list = groups in order, by_name = groups by name, stamp }; or nil, err when the list is no longer in force
function _M.groups(shelf, text)
    local list, err = decode_list(text)
    if not list then
        return nil, err
    end
    local groups, problem = members(shelf, "group", list.members)
    if not groups then
        return nil, problem
    end
    local by_name = new_table(0, #groups)
    for i = 1, #groups do
        by_name[groups[i].name] = groups[i]
    end
    return { list = groups, by_name = by_name, stamp = list.version }
end


--- A certificate: { chain, key, stamp }; or nil, err.
-- @param text of the certificate, as on the shelf
function _M.certificate(_, text)
    local digest = digest_of(text)
    local made = memory.certificate[digest]
    if made then
        return made
    end
    local err
    made, err = certificate.parse(text)
    if not made then
        return nil, err
    end
    made.stamp = digest
    memory.certificate[digest] = made
    return made
end


return _M
