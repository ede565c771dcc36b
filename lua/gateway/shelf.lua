--- The shared dictionary `policy`: the policy in force as JSON text, written by the one reader, read by all workers.
--
--     http_tcp_80, backend_group    {"key":"http_tcp_80","version":7,"members":["<digest>",...]}, in the policy's order
--     rule/<digest>, group/<digest> the JSON text of one member
--     <domain or port>              the JSON text of one certificate
--     stamp/<key>                   of a list its version, of a certificate its digest: a worker compares it to see that
--                                   its value is old
--     staged/<key>                  what is about to take the place of a text or of its stamp
--     /certificates  /ports         the names of the certificates, the keys of the lists of rules; JSON lists in order
--     /generation  /state  /reader  how many policies were taken over; the reader's state; its process id
--     /listening                    the ports that a worker has a listener for: " 80 443 "
--
-- A digest is a fingerprint of a text, as from `gateway.digest`.
--
-- Nothing here is ever evicted: everything is written with `safe_set`, which refuses when the dictionary is full. So that a
-- policy is put in force whole or not at all, the reader first puts the bodies there, which no worker looks for yet, then
-- *stages* every text that changes, which claims the room, and only when all of it fits *commits*: takes the staged texts away
-- and writes them where workers look. Bodies that no list names any more are *buried* and removed some seconds later, because
-- a worker may still be on its way through the list that named them.

local cjson = require "cjson.safe"
local dictionary = require "gateway.dictionary"

local concat = table.concat
local huge = math.huge
local pairs = pairs
local setmetatable = setmetatable

local DICTIONARY = dictionary("policy")

local NAMES = "/certificates"
local PORTS = "/ports"
local STAMP = "stamp/"
local STAGED = "staged/"

-- Seconds that a body stays after the last list that named it went.
local GRACE = 10
local STRIDE = 64

local LIST = "^%l+_%l+_%d+$"
local GROUPS = "backend_group"


local _M = { GROUPS = GROUPS, NAMES = NAMES, PORTS = PORTS }
local mt = { __index = _M }


-- Removes what is buried and due, or all that is buried. Returns how many. May be given `pause`, and then `may_go_on`: another
-- process may have taken over in the meantime, and have put a policy in force that needs what is buried here.
local function sweep(self, due, pause, may_go_on)
    local names = {}
    for name, since in pairs(self.buried) do
        if since <= due then
            names[#names + 1] = name
        end
    end
    for i = 1, #names do
        -- While this waited, the text may have been put here again.
        if self.buried[names[i]] then
            self.buried[names[i]] = nil
            self.dict:delete(names[i])
        end
        if pause and i % STRIDE == 0 then
            pause()
            if not may_go_on() then
                return i
            end
        end
    end
    return #names
end


-- Writes without evicting anything. When the dictionary is full, the buried go before their time.
local function write(self, method, key, value)
    local ok, err = self.dict[method](self.dict, key, value)
    if not ok and err == "no memory" and sweep(self, huge) > 0 then
        ok, err = self.dict[method](self.dict, key, value)
    end
    return ok, err
end


--- The shelf over a shared dictionary.
-- @param name of the dictionary, default the one of the policy; throws when nginx has none of that name
function _M.open(name)
    name = name or DICTIONARY
    local dict = ngx.shared[name]
    if not dict then
        error("no lua_shared_dict '" .. name .. "'", 2)
    end
    return setmetatable({ dict = dict, staged = {}, order = {}, buried = {} }, mt)
end


--- The key of a port's rules, "http_tcp_80".
function _M.list_key(subsystem, protocol, port)
    return subsystem .. "_" .. protocol .. "_" .. port
end


--- Whether a name of the policy would stand in the way of the shelf's own keys.
function _M.is_reserved(name)
    return name == GROUPS or name:find("/", 1, true) ~= nil or name:find(LIST) ~= nil
end


--- The text under a key: a list or a certificate; nil when there is none.
function _M:text(key)
    return self.dict:get(key)
end


--- The list under a key: { key, version, members }; nil when there is none.
function _M:list(key)
    local text = self.dict:get(key)
    return text and cjson.decode(text)
end


--- The stamp of a key's content; nil when the key has none.
function _M:stamp(key)
    return self.dict:get(STAMP .. key)
end


--- The JSON text of a member; nil when it is not there (any more).
-- @param kind "rule" or "group"
function _M:body(kind, digest)
    return self.dict:get(kind .. "/" .. digest)
end


--- The names of the certificates, in order.
function _M:certificate_names()
    local text = self.dict:get(NAMES)
    return text and cjson.decode(text) or {}
end


--- The keys of the lists of rules, in order.
function _M:ports()
    local text = self.dict:get(PORTS)
    return text and cjson.decode(text) or {}
end


--- How many policies were taken over; nil when none ever was.
function _M:generation()
    return self.dict:get("/generation")
end


--- The reader's state as it wrote it last (see `gateway.reader`); nil before its first reading.
function _M:state()
    local text = self.dict:get("/state")
    return text and cjson.decode(text)
end


--- Whether the reader has come to a first result, be it that there is no policy to read.
function _M:is_settled()
    return self.dict:get("/state") ~= nil or self:generation() ~= nil
end


--- Writes the reader's state.
-- @return true, or nil, err
function _M:save_state(state)
    return self.dict:safe_set("/state", cjson.encode(state))
end


--- Notes the ports whose rules there is a listener for; each worker does, all the same ones.
-- @return true, or nil, err
function _M:save_listening(ports)
    return self.dict:safe_set("/listening", " " .. concat(ports, " ") .. " ")
end


--- The ports whose rules there is a listener for: " 80 443 "; nil before the first worker has started.
function _M:listening()
    return self.dict:get("/listening")
end


--- Makes a process the one that writes here; the one before stops at its next look.
function _M:claim(pid)
    return self.dict:safe_set("/reader", pid)
end


function _M:is_claimed_by(pid)
    return self.dict:get("/reader") == pid
end


--- Puts a member's text on the shelf; it is in force only once a list names it.
-- @return true when it is new, false when it was there; or nil, err when there is no room
function _M:put_body(kind, digest, text)
    local key = kind .. "/" .. digest
    self.buried[key] = nil
    local ok, err = write(self, "safe_add", key, text)
    if ok then
        return true
    elseif err == "exists" then
        return false
    end
    return nil, err
end


--- Claims the room for a text that is to stand under a key, and for its stamp.
-- @param stamp of the new content
-- @return true, or nil, err when there is no room
function _M:stage(key, text, stamp)
    self.staged[key] = { text = text, stamp = stamp }
    self.order[#self.order + 1] = key
    local ok, err = write(self, "safe_set", STAGED .. key, text)
    if ok then
        ok, err = write(self, "safe_set", STAGED .. STAMP .. key, stamp)
    end
    if not ok then
        return nil, err
    end
    return true
end


local function unstage(self)
    for key in pairs(self.staged) do
        self.dict:delete(STAGED .. key)
        self.dict:delete(STAGED .. STAMP .. key)
    end
    self.staged, self.order = {}, {}
end


--- Gives up what was staged.
_M.abandon = unstage


--- Removes a list or a certificate.
function _M:remove(key)
    self.dict:delete(key)
    self.dict:delete(STAMP .. key)
end


--- Puts what was staged in force, in the order in which it was staged.
-- @return true; or nil, err
function _M:commit()
    local dict, staged, order = self.dict, self.staged, self.order
    unstage(self)
    for i = 1, #order do
        local key = order[i]
        local ok, err = dict:safe_set(key, staged[key].text)
        if ok then
            ok, err = dict:safe_set(STAMP .. key, staged[key].stamp)
        end
        if not ok then
            return nil, "could not write '" .. key .. "': " .. err
        end
    end
    return true
end


--- Counts a policy as taken over.
-- @return the generation; or nil, err
function _M:count()
    return self.dict:incr("/generation", 1, 0)
end


--- Marks a body ("rule/<digest>") for removal; putting it again takes the mark away.
function _M:bury(name)
    self.buried[name] = self.buried[name] or ngx.now()
end


--- Removes the bodies that were buried long enough ago.
-- @param pause called now and then; may wait
-- @param may_go_on called after each pause; when it returns false, the others stay
-- @return number of bodies that were removed
function _M:sweep(pause, may_go_on)
    return sweep(self, ngx.now() - GRACE, pause, may_go_on)
end


-- Adds one key of the dictionary to what `inventory` found.
local function note(self, found, key)
    if key:sub(1, #STAGED) == STAGED then
        self.dict:delete(key)
    elseif key:find("^rule/") then
        found.bodies.rule[key:sub(#"rule/" + 1)] = true
    elseif key:find("^group/") then
        found.bodies.group[key:sub(#"group/" + 1)] = true
    elseif key == GROUPS or key:find(LIST) then
        found.lists[key] = true
    elseif not key:find("/", 1, true) then
        found.certificates[key] = self:stamp(key) or ""
    end
end


--- The content of the shelf, for a reader that takes over from another process; removes what that one had staged.
-- @return { lists = { key -> true }, certificates = { name -> digest }, bodies = { rule = { digest -> true }, group = the same } }
function _M:inventory()
    local found = { lists = {}, certificates = {}, bodies = { rule = {}, group = {} } }
    local keys = self.dict:get_keys(0)
    for i = 1, #keys do
        note(self, found, keys[i])
    end
    return found
end


return _M
