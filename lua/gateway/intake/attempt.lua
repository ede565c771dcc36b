--- One attempt at taking a policy in: the members found good or bad so far, and those put on the shelf for it.
--
--     version       of the lists that change
--     bad           "rule/<digest>", "group/<digest>", "certificate/<name>/<digest>" of the members that were refused -> true, or
--                   the name that the group has
--     repeated      name -> true of the groups whose name an earlier one has
--     added         { kind, digest } of what was put on the shelf and goes again should the attempt fail
--     lists         key -> { members = digests }
--     certificates  name -> digest
--     changed       { key, text, stamp, is_certificate }: what is to be staged
--     rules, groups, count_certificates    numbers of what is to be in force
--     left_out      number of the document's members (rules, groups, backends, certificates) that are not in force as they are
--
-- The bodies on the shelf are not the attempt's own, since there may be many and most stay: it marks those that it uses with its
-- version. When it fails, the marks do no harm: a mark says "not older than", and what has none of the policy in force is buried.

local concat = table.concat
local setmetatable = setmetatable

-- Members between two pauses.
local STRIDE = 16
local MOST_REPORTS = 100

local _M = {}
local mt = { __index = _M }


--- @param shelf that the policy is put on
-- @param before { bodies = { rule = { digest -> version }, group = the same }, bad = as here, of the policy before,
--        forget = method that is given the digest of a body that went }
-- @param version of the lists that change
-- @param hooks { pause, may_go_on, report }
function _M.new(shelf, before, version, hooks)
    return setmetatable({
        shelf = shelf, before = before, version = version, hooks = hooks,
        added = {}, bad = {}, repeated = {}, lists = {}, certificates = {}, changed = {},
        reports = 0, rules = 0, groups = 0, count_certificates = 0, left_out = 0,
    }, mt)
end


--- Ends the attempt: thrown as a table { reason }, caught in `gateway.intake`.
function _M.give_up(reason)
    error({ reason = reason }, 0)
end


--- Reports one bad member, but not without end.
function _M:complain(...)
    self.reports = self.reports + 1
    if self.reports <= MOST_REPORTS then
        self.hooks.report(concat({ ... }))
    end
end


--- Reports how many reports there were not.
function _M:conclude()
    if self.reports > MOST_REPORTS then
        self.hooks.report(("%d more members left out or refused"):format(self.reports - MOST_REPORTS))
    end
end


--- Called for each member: lets others run now and then, and gives up when another process has taken over.
function _M:step(count)
    if count % STRIDE ~= 0 then
        return
    end
    self.hooks.pause()
    if not self.hooks.may_go_on() then
        _M.give_up("another process reads the policy now")
    end
end


--- Notes that the new policy uses a body.
function _M:use(kind, digest)
    self.before.bodies[kind][digest] = self.version
end


--- Whether a member was found good before; it is used then.
-- @param kind "rule" or "group"
function _M:knows(kind, digest)
    local bodies = self.before.bodies[kind]
    if not bodies[digest] then
        return false
    end
    bodies[digest] = self.version
    return true
end


--- The note about a member that was found bad before, which it stays; nil for any other.
function _M:refusal(name)
    local noted = self.bad[name] or self.before.bad[name]
    self.bad[name] = noted
    return noted
end


--- Puts a good member's text on the shelf.
function _M:admit(kind, digest, text)
    local is_new, err = self.shelf:put_body(kind, digest, text)
    if is_new == nil then
        _M.give_up("does not fit into the dictionary 'policy': " .. err)
    elseif is_new then
        self.added[#self.added + 1] = { kind, digest }
    end
    self:use(kind, digest)
end


--- Takes everything back. Bodies are only buried: a process that took over may have found them on the shelf.
function _M:undo()
    self.shelf:abandon()
    for i = 1, #self.added do
        local kind, digest = self.added[i][1], self.added[i][2]
        self.shelf:bury(kind .. "/" .. digest)
        self.before.bodies[kind][digest] = nil
        self.before:forget(digest)
    end
end


return _M
