--- Taking a policy in: from the document to the shelf, doing work only for what changed.
--
-- Each member (rule, group, certificate) is known by the digest of its text. One that is on the shelf already was checked when
-- it came, and its text is not even looked at; any other is parsed now, and put there when it is good. Each bad member is
-- reported once, not again while it stays as it is. Then the lists and certificates that differ are staged and committed, all of
-- them or none.

local attempts = require "gateway.intake.attempt"
local members = require "gateway.intake.members"
local group = require "gateway.group"
local rule = require "gateway.rule"
local survey = require "gateway.intake.survey"
local shelf_module = require "gateway.shelf"

local concat = table.concat
local ipairs = ipairs
local max = math.max
local pairs = pairs
local setmetatable = setmetatable
local sort = table.sort

local STRIDE = 64
local GROUPS = shelf_module.GROUPS


local _M = {}
local mt = { __index = _M }


local function are_equal(one, other)
    if #one ~= #other then
        return false
    end
    for i = 1, #one do
        if one[i] ~= other[i] then
            return false
        end
    end
    return true
end


-- Notes a list, and that it changed if it did.
local function set_list(self, attempt, key, digests)
    local before = self.lists[key]
    if before and before.is_whole and are_equal(before.members, digests) then
        attempt.lists[key] = before
        return
    end
    attempt.lists[key] = { members = digests, is_whole = true }
    attempt.changed[#attempt.changed + 1] = {
        key = key,
        text = '{"key":"' .. key .. '","version":' .. attempt.version .. ',"members":['
               .. (#digests > 0 and '"' .. concat(digests, '","') .. '"' or "") .. "]}",
        stamp = attempt.version,
    }
end


-- Notes the names that are in a table, for those who want to see them all.
local function set_names(self, attempt, key, values)
    local names = {}
    for name in pairs(values) do
        if name ~= GROUPS then
            names[#names + 1] = name
        end
    end
    sort(names)
    local text = #names > 0 and '["' .. concat(names, '","') .. '"]' or "[]"
    if text ~= self.shelf:text(key) then
        attempt.changed[#attempt.changed + 1] = { key = key, text = text, stamp = 0, is_names = true }
    end
end


-- The whole document: groups first, so that no rule is in force before its group is.
local function take_document(self, attempt, doc)
    set_list(self, attempt, GROUPS, members.groups(self, attempt, doc.groups))
    for _, protocol in ipairs(self.protocols) do
        for _, entry in ipairs(doc[self.subsystem][protocol]) do
            local port, spans = entry[1], entry[2]
            local place = self.subsystem .. " " .. protocol .. " port " .. port
            local key = shelf_module.list_key(self.subsystem, protocol, port)
            set_list(self, attempt, key, members.rules(self, attempt, place, spans))
        end
    end
    if self.subsystem == "http" then
        members.certificates(self, attempt, doc.certificates)
        set_names(self, attempt, shelf_module.NAMES, attempt.certificates)
    end
    set_names(self, attempt, shelf_module.PORTS, attempt.lists)
end


local function stage(self, attempt)
    for i, change in ipairs(attempt.changed) do
        local ok, err = self.shelf:stage(change.key, change.text, change.stamp)
        if not ok then
            attempts.give_up("does not fit into the dictionary 'policy': " .. err)
        end
        attempt:step(i)
    end
end


-- Removes the keys that the document has no more. Returns them as { lists, certificates }.
local function remove_vanished(self, attempt)
    local gone = { lists = {}, certificates = {} }
    for kind, keys in pairs(gone) do
        for key in pairs(self[kind]) do
            if not attempt[kind][key] then
                self.shelf:remove(key)
                keys[#keys + 1] = key
            end
        end
    end
    return gone
end


-- The keys that workers are to read anew.
local function stale_keys(attempt, gone)
    local stale = { rules = gone.lists, groups = {}, certificates = gone.certificates }
    for _, change in ipairs(attempt.changed) do
        local kind = change.is_certificate and "certificates" or change.key == GROUPS and "groups" or "rules"
        if not change.is_names then
            stale[kind][#stale[kind] + 1] = change.key
        end
    end
    return stale
end


-- From the first write that workers see to the last, this waits for nothing. Returns the stale keys.
local function put_in_force(self, attempt)
    local ok, err = self.shelf:commit()
    if not ok then
        attempts.give_up(err)
    end
    local gone = remove_vanished(self, attempt)
    self.lists, self.certificates = attempt.lists, attempt.certificates
    self.bad, self.repeated, self.in_force, self.is_untidy = attempt.bad, attempt.repeated, attempt.version, true
    return stale_keys(attempt, gone)
end


local function ports_of(lists)
    local ports = {}
    for key, list in pairs(lists) do
        if key ~= GROUPS then
            ports[key] = #list.members
        end
    end
    return ports
end


local function counts_of(attempt)
    return {
        rules = attempt.rules,
        groups = attempt.groups,
        certificates = attempt.count_certificates,
        left_out = attempt.left_out,
        ports = ports_of(attempt.lists),
    }
end


-- Learns what is on the shelf.
local function recall(self)
    local found = self.shelf:inventory()
    self.certificates = found.certificates
    for kind, digests in pairs(found.bodies) do
        for digest in pairs(digests) do
            self.bodies[kind][digest] = 0
        end
    end
    for key in pairs(found.lists) do
        local list = self.shelf:list(key)
        self.version = max(self.version, list.version)
        self.lists[key] = {
            members = list.members,
            -- Otherwise it was written by a process that was killed before it was done.
            is_whole = self.shelf:stamp(key) == list.version,
        }
    end
end


--- Begins with what the shelf has, be it nothing or the policy of a process before this one.
-- @param shelf where to put the policy
-- @param subsystem "http" or "stream"
-- @param report function that is given one line for each member that is left out or refused
function _M.new(shelf, subsystem, report)
    local is_stream = subsystem == "stream"
    local self = setmetatable({
        shelf = shelf,
        subsystem = subsystem,
        report = report,
        parse_rule = is_stream and rule.parse_stream or rule.parse,
        protocols = is_stream and { "tcp", "udp" } or { "tcp" },
        version = 0,   -- of the attempt made last
        in_force = 0,  -- version of the one that succeeded last
        bodies = { rule = {}, group = {} },
        lists = {}, certificates = {}, bad = {}, repeated = {}, about_groups = {},
        about_rules = { id = {}, upstream = {}, unknown = {} },
    }, mt)
    recall(self)
    return self
end


--- Takes a document in.
-- @param doc as from `gateway.document`
-- @param pause called now and then; may wait
-- @param may_go_on called after each pause; when it returns false, nothing is put in force
-- @return { stale = { rules, groups, certificates: lists of keys }, added = number of members that were not on the shelf before,
--           counts = { rules, groups, certificates, left_out, ports = { [list key] = number of rules } } };
--         or nil and why nothing changed
function _M:take(doc, pause, may_go_on)
    self.version = max(self.version, self.shelf:generation() or 0) + 1
    local attempt = attempts.new(self.shelf, self, self.version, {
        pause = pause, may_go_on = may_go_on, report = self.report,
    })
    local stale
    local ok, err = pcall(function()
        take_document(self, attempt, doc)
        stage(self, attempt)
        stale = put_in_force(self, attempt)
    end)
    attempt:conclude()
    if ok then
        return { stale = stale, added = #attempt.added, counts = counts_of(attempt) }
    end
    attempt:undo()
    if type(err) ~= "table" then
        error(err, 0)
    end
    return nil, err.reason
end


--- Notes what `gateway.intake.survey` is to know of a rule on the shelf, by its digest.
function _M:note_rule(digest, made)
    local about = self.about_rules
    about.id[digest], about.upstream[digest], about.unknown[digest] = made.id or false, made.upstream, made.unknown
end


--- Forgets what is known of a body that went.
function _M:forget(digest)
    local about = self.about_rules
    about.id[digest], about.upstream[digest], about.unknown[digest] = nil, nil, nil
    self.about_groups[digest] = nil
end


--- The facts about a group on the shelf: { name, left_out = number of its backends that cannot be used, is_idle, unknown }; nil when it
-- is not there.
-- @param made the group, if it was parsed just now
function _M:about_group(digest, made)
    local about = self.about_groups[digest]
    if about then
        return about
    end
    made = made or group.parse(self.shelf:body("group", digest) or "")
    if not made then
        return nil
    end
    about = { name = made.name, left_out = #made.problems, is_idle = made.is_idle, unknown = made.unknown }
    self.about_groups[digest] = about
    return about
end


--- Parts of the policy in force that have no effect, see `gateway.intake.survey`.
_M.survey = survey.run


--- Has the bodies removed later that the policy in force does not use; to be called after each `take`.
-- @param pause called now and then; may wait
function _M:tidy(pause)
    if not self.is_untidy then
        return
    end
    for kind, bodies in pairs(self.bodies) do
        local count = 0
        for digest, version in pairs(bodies) do
            if version < self.in_force then
                bodies[digest] = nil
                self:forget(digest)
                self.shelf:bury(kind .. "/" .. digest)
            end
            count = count + 1
            if count % STRIDE == 0 then
                pause()
            end
        end
    end
    self.is_untidy = false
end


return _M
