--- One attempt at taking a policy in: what was found good or bad so far, and what was put on the shelf for it.
--
--     bodies        names ("rule/<digest>") of the members that the new policy uses -> true
--     bad           names of the members that were refused -> true, or the name that the group has
--     added         { kind, digest } of what was put on the shelf and goes again should the attempt fail
--     lists         key -> { members = digests joined with ",", count }
--     certificates  name -> digest
--     changed       { key, text, stamp, is_certificate }: what is to be staged
--     rules, groups, count_certificates, left_out    numbers

local concat = table.concat
local setmetatable = setmetatable

-- Members between two pauses.
local STRIDE = 16
local MOST_REPORTS = 100

local _M = {}
local mt = { __index = _M }


--- @param shelf that the policy is put on
-- @param before bodies and bad of the policy before: { bodies, bad }
-- @param version of the lists that change
-- @param hooks { pause, may_go_on, report }
function _M.new(shelf, before, version, hooks)
    return setmetatable({
        shelf = shelf, before = before, version = version, hooks = hooks,
        added = {}, bodies = {}, bad = {}, lists = {}, certificates = {}, changed = {},
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


--- Whether a member was found good or bad before; what is known stays known for the next policy.
-- @return true, false, or nil when it was not seen yet
function _M:known(name)
    if self.bodies[name] then
        return true
    elseif self.before.bodies[name] then
        self.bodies[name] = true
        return true
    end
    local bad = self.bad[name] or self.before.bad[name]
    if bad then
        self.bad[name] = bad
        return false
    end
end


--- Puts a good member's text on the shelf.
function _M:admit(kind, digest, text)
    local is_new, err = self.shelf:put_body(kind, digest, text)
    if is_new == nil then
        _M.give_up("does not fit into the dictionary 'policy': " .. err)
    elseif is_new then
        self.added[#self.added + 1] = { kind, digest }
    end
    self.bodies[kind .. "/" .. digest] = true
end


--- Takes everything back.
function _M:undo()
    self.shelf:abandon()
    for i = 1, #self.added do
        self.shelf:drop_body(self.added[i][1], self.added[i][2])
    end
end


return _M
