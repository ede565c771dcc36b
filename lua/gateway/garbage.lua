--- Collecting the garbage of much work, a little at a time.
--
-- LuaJIT begins a collection when the heap has grown by so many percent of what was in use at the last one. One that ends in the
-- middle of reading a large policy finds much in use that is not needed a moment later, and the heap may then grow far beyond
-- what the policy takes.

local slice = require "gateway.slice"

local collectgarbage = collectgarbage
local timer_at = ngx.timer.at

-- KiB that a step makes up for: a tenth of a millisecond or two.
local STEP = 64
-- A collection under way may have passed what became garbage since.
local COLLECTIONS = 2
-- Of so many members of a policy that were parsed, the garbage is worth it.
local MANY = 1000

local is_collecting = false


local function collect(premature)
    local pause = slice.pauser()
    for _ = 1, premature and 0 or COLLECTIONS do
        repeat
            pause()
        until collectgarbage("step", STEP)
    end
    is_collecting = false
end


local _M = {}


--- Has the garbage collected in a moment, if it was much work.
-- @param parsed number of members of a policy that were parsed
function _M.follow(parsed)
    if parsed >= MANY and not is_collecting then
        -- Without a timer it is collected later, as any.
        is_collecting = timer_at(0, collect) ~= nil
    end
end


return _M
