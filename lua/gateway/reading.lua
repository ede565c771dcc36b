--- One reading of the policy file: content, document, shelf, workers.

local caches = require "gateway.caches"
local document = require "gateway.document"
local garbage = require "gateway.garbage"
local intakes = require "gateway.intake"
local slice = require "gateway.slice"
local watch = require "gateway.watch"

local find = string.find
local get_phase = ngx.get_phase
local ipairs = ipairs
local now = ngx.now
local pairs = pairs
local setmetatable = setmetatable
local subsystem = ngx.config.subsystem

-- From this number of stale keys on it is cheaper to tell the workers to forget all.
local MANY = 64

local CONFIGURE = ngx.config.nginx_configure()
local SERVES_STREAM = find(CONFIGURE, "stream-lua", 1, true) or find(CONFIGURE, "stream_lua", 1, true)

local _M = {}
local mt = { __index = _M }


--- @param path of the policy file
-- @param limit largest size that is read, in bytes
-- @param shelf that the policy is put on
-- @param report function that is given one line for each thing that is wrong inside a policy
function _M.new(path, limit, shelf, report)
    return setmetatable({
        watch = watch.new(path, limit),
        intake = intakes.new(shelf, subsystem, report),
        shelf = shelf,
        report = report,
    }, mt)
end


-- Says that this nginx cannot serve the document's rules of layer 4. Returns how many they are.
local function mention_stream(self, doc)
    if subsystem == "stream" or SERVES_STREAM then
        return 0
    end
    local count = 0
    for _, ports in pairs(doc.stream) do
        for _, entry in ipairs(ports) do
            count = count + entry[2].count
        end
    end
    if count > 0 then
        self.report(("stream rules left out, %d of them: this nginx has no stream Lua module"):format(count))
    end
    return count
end


local function invalidate(which, keys)
    if #keys > MANY then
        return caches.invalidate_all(which)
    end
    for _, key in ipairs(keys) do
        local ok, err = caches.invalidate(which, key)
        if not ok then
            return nil, err
        end
    end
    return true
end


-- Tells the workers which keys are to be read anew. While the first policy of all is read, before nginx serves, none of them
-- holds anything, and events cannot be sent.
local function tell(self, stale)
    if get_phase() == "init_worker" then
        return
    end
    for which, keys in pairs(stale) do
        local ok, err = invalidate(which, keys)
        if not ok then
            -- They find out by themselves within a policy_interval.
            self.report("could not tell the workers what is stale: " .. err)
        end
    end
end


--- Looks at the file without reading it, as `gateway.watch` does.
function _M:look()
    return self.watch:look()
end


-- Takes the content of the file in, and tells the workers what is stale. Returns what `gateway.intake` does.
local function take_in(self, content, pause, may_go_on)
    local doc, err = document.split(content, pause)
    if not doc then
        return nil, err
    end
    local taken
    taken, err = self.intake:take(doc, pause, may_go_on)
    if not taken then
        return nil, err
    end
    tell(self, taken.stale)
    garbage.follow(taken.added)
    taken.counts.left_out = taken.counts.left_out + mention_stream(self, doc)
    taken.findings, taken.counts.unknown = self.intake:survey(doc.unknown, pause)
    return taken
end


--- Reads the file, takes it in, and tells the workers what is stale.
-- @param digest of the content that is in force, or nil: the same content is not taken in again
-- @param may_go_on called now and then; when it returns false, nothing changes
-- @return { found = status of the file with its digest, taken = as from `gateway.intake`, or nil when it has the content that is
--         in force, seconds, longest_stretch }; or nil, err and the status of the file, if there is one
function _M:run(digest, may_go_on)
    local stretch = slice.new()
    local began = now()
    local function pause()
        stretch:pause()
    end
    local content, found, problem = self.watch:read(pause)
    if not content then
        return nil, found, problem
    end
    local taken, err
    if found.digest ~= digest then
        taken, err = take_in(self, content, pause, may_go_on)
    end
    content:release()
    if err then
        return nil, err, found
    end
    stretch:pause()
    return { found = found, taken = taken, seconds = now() - began, longest_stretch = stretch.longest }
end


--- The rest of the work after a reading, when the workers have their values.
-- @param pause called now and then; may wait
function _M:tidy(pause)
    self.intake:tidy(pause)
end


return _M
