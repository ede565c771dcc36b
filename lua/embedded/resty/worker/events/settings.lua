--- The options of resty.worker.events, checked.

local ipairs = ipairs
local type = type

-- In the order in which they are checked. The messages are those of the release, the one of `wait_interval` included.
local OPTIONS = {
    -- Seconds for which the events of a unique key belong to one process.
    { name = "timeout", default = 2, is_positive = true },
    -- Seconds from one poll of the timer to the next.
    { name = "interval", default = 1, is_positive = true },
    -- Seconds between two looks for an event whose id is known and whose text is not.
    { name = "wait_interval", default = 0.010, problem = '"interval" must be greater than or equal to 0' },
    -- Seconds after which such an event is given up.
    { name = "wait_max", default = 0.5, problem = '"wait_max" must be greater than or equal to 0' },
    -- Further tries when the dictionary has "no memory".
    { name = "shm_retries", default = 999, problem = '"shm_retries" must be 0 or greater' },
}


local _M = {}


--- The settings of `opts`, with defaults for those that it lacks; or nil and the first that is wrong.
function _M.read(opts)
    local settings = {}
    for _, option in ipairs(OPTIONS) do
        local value = opts[option.name] or option.default
        if type(value) ~= "number" then
            return nil, 'optional "' .. option.name .. '" option must be a number'
        end
        if value < 0 or option.is_positive and value == 0 then
            return nil, option.problem or '"' .. option.name .. '" must be greater than 0'
        end
        settings[option.name] = value
    end
    return settings
end


return _M
