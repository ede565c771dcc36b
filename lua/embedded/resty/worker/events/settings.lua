--- The options of resty.worker.events, checked.

local pairs = pairs
local sort = table.sort
local type = type

local DEFAULTS = {
    timeout = 2,            -- seconds for which the events of a unique key belong to one process
    interval = 1,           -- seconds from one poll of the timer to the next; 0: no timer
    wait_interval = 0.010,  -- seconds between two looks for an event whose id is known and whose text is not
    wait_max = 0.5,         -- seconds after which such an event is given up
    shm_retries = 999,      -- further tries when the dictionary has "no memory"
}


local _M = {
    defaults = DEFAULTS,
}


--- `current` with what `opts` says in its place; or nil and all that is wrong with `opts`.
function _M.merge(current, opts)
    local merged, problems = {}, {}
    for name in pairs(DEFAULTS) do
        local value = opts[name]
        if value == nil then
            merged[name] = current[name]
        elseif type(value) == "number" and value >= 0 then
            merged[name] = value
        else
            problems[#problems + 1] = 'optional "' .. name .. '" must be a number, at least 0'
        end
    end
    if problems[1] then
        sort(problems)
        return nil, table.concat(problems, "; ")
    end
    return merged
end


return _M
