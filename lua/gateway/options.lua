--- The options of the process: read once when nginx starts, all problems reported at once, frozen afterwards.
--
-- An option comes from the table given to `gateway.init(overrides)`, else from the environment, else from its default:
--
--     policy_path      NEW_POLICY_PATH          text, required: the policy file
--     policy_limit     GATEWAY_POLICY_LIMIT     bytes: a larger policy file is refused (default 128 MiB)
--     policy_interval  GATEWAY_POLICY_INTERVAL  seconds between two checks that do not wait for a change: of the file by its
--                                               reader, of what it holds by each worker (default 1)
--     watch_interval   GATEWAY_WATCH_INTERVAL   seconds between two looks at whether the file changed (default 0.05)
--     ports            GATEWAY_PORTS            "8080=80,8443=443": listener 8080 takes the rules of port 80
--                                               (as an override also a table { [8080] = 80 })
--     trusted_proxies  GATEWAY_TRUSTED_PROXIES  "10.0.0.0/8, fd00::1": the proxies in front that are believed what they tell of
--                                               a request; kept as a list of networks as from `gateway.address`
--     eject_seconds    GATEWAY_EJECT_SECONDS    for how long a backend is passed over that could not be connected to (default 5;
--                                               0: not at all)
--     health_check     GATEWAY_HEALTH_CHECK     JSON: the health check of the groups that have none of their own; kept as from
--                                               `gateway.health.check`

local address = require "gateway.address"
local checks = require "gateway.health.check"
local printable = require "gateway.printable"

local getenv = os.getenv
local tonumber = tonumber
local type = type

local DIGITS = "^%d+$"
local FRACTION = "^%d+%.?%d*$"

local current


local function text(value)
    if type(value) ~= "string" or value == "" then
        return nil, "must be a non-empty text"
    end
    return value
end


local function bytes(value)
    local number = tonumber(value)
    if not number or number < 1 or number > 2 ^ 31 - 1 or number % 1 ~= 0
       or (type(value) == "string" and not value:find(DIGITS))
    then
        return nil, "must be a whole number of bytes from 1 to 2147483647"
    end
    return number
end


local function seconds(value)
    local number = tonumber(value)
    if not number or number < 0.001 or number > 3600
       or (type(value) == "string" and not value:find(FRACTION))
    then
        return nil, "must be a number of seconds from 0.001 to 3600"
    end
    return number
end


local function seconds_or_none(value)
    if tonumber(value) == 0 then
        return 0
    end
    local number, problem = seconds(value)
    return number, problem and "must be 0 or a number of seconds from 0.001 to 3600"
end


local function check(value)
    if type(value) ~= "string" then
        return nil, "must be JSON like {\"type\": \"tcp\"}"
    end
    local found, err = checks.parse(value)
    return found, err and "must be JSON like {\"type\": \"tcp\"}: " .. err
end


local function port(value)
    local number = tonumber(value)
    if number and number >= 1 and number <= 65535 and number % 1 == 0 then
        return number
    end
end


local function ports_of_text(value)
    local map = {}
    for item in value:gmatch("[^,]+") do
        local from, to = item:match("^%s*(%d+)%s*=%s*(%d+)%s*$")
        if not from then
            return nil
        end
        map[from] = to
    end
    return map
end


local function ports(value)
    local pairs_of_ports = type(value) == "string" and ports_of_text(value) or value
    if type(pairs_of_ports) ~= "table" then
        return nil, "must be like \"8080=80,8443=443\""
    end
    local map = {}
    for listener, target in pairs(pairs_of_ports) do
        local from, to = port(listener), port(target)
        if not from or not to then
            return nil, "must be like \"8080=80,8443=443\", with ports from 1 to 65535"
        end
        map[from] = to
    end
    return map
end


local function networks(value)
    if type(value) ~= "string" then
        return nil, "must be a text like \"10.0.0.0/8, fd00::1\""
    end
    local found = {}
    for item in value:gmatch("[^,%s]+") do
        local network = address.network(item)
        if not network then
            return nil, "must be addresses and networks like \"10.0.0.0/8, fd00::1\", which '" .. printable(item) .. "' is not"
        end
        found[#found + 1] = network
    end
    return found
end


-- In the order in which problems are reported.
local OPTIONS = {
    { name = "policy_path", env = "NEW_POLICY_PATH", read = text },
    { name = "policy_limit", env = "GATEWAY_POLICY_LIMIT", read = bytes, default = 128 * 1024 * 1024 },
    { name = "policy_interval", env = "GATEWAY_POLICY_INTERVAL", read = seconds, default = 1 },
    { name = "watch_interval", env = "GATEWAY_WATCH_INTERVAL", read = seconds, default = 0.05 },
    { name = "ports", env = "GATEWAY_PORTS", read = ports, default = {} },
    { name = "trusted_proxies", env = "GATEWAY_TRUSTED_PROXIES", read = networks, default = {} },
    { name = "eject_seconds", env = "GATEWAY_EJECT_SECONDS", read = seconds_or_none, default = 5 },
    { name = "health_check", env = "GATEWAY_HEALTH_CHECK", read = check, is_optional = true },
}


-- Returns the value that was given for an option and where it came from; an empty variable counts as not set.
local function given(option, overrides, environment)
    if overrides[option.name] ~= nil then
        return overrides[option.name], option.name
    end
    local value = environment(option.env)
    if value ~= nil and value ~= "" then
        return value, option.env
    end
end


local function is_known(name)
    for _, option in ipairs(OPTIONS) do
        if option.name == name then
            return true
        end
    end
    return false
end


local function unknown_names(overrides)
    local names = {}
    for name in pairs(overrides) do
        if not is_known(name) then
            names[#names + 1] = tostring(name)
        end
    end
    table.sort(names)
    return names
end


local _M = {}


--- Reads the options without keeping them.
-- @param overrides table of options, or nil
-- @param environment function name -> text or nil (default os.getenv)
-- @return the options as a table, or nil and all problems joined with "; "
function _M.read(overrides, environment)
    overrides = overrides or {}
    environment = environment or getenv
    local options, problems = {}, {}
    for _, name in ipairs(unknown_names(overrides)) do
        problems[#problems + 1] = "unknown option '" .. name .. "'"
    end
    for _, option in ipairs(OPTIONS) do
        local value, origin = given(option, overrides, environment)
        if value ~= nil then
            local read, problem = option.read(value)
            options[option.name] = read
            problems[#problems + 1] = problem and origin .. " " .. problem
        elseif option.default ~= nil then
            options[option.name] = option.default
        elseif not option.is_optional then
            problems[#problems + 1] = option.env .. " is not set"
        end
    end
    if #problems > 0 then
        return nil, table.concat(problems, "; ")
    end
    return options
end


--- Reads the options and keeps them for this process and its children; called once, while nginx starts.
-- @return the options; throws when any of them is wrong, so that nginx refuses to start
function _M.configure(overrides)
    if overrides ~= nil and type(overrides) ~= "table" then
        error("the options must be a table", 2)
    end
    local options, problems = _M.read(overrides)
    if not options then
        error("gateway: wrong options: " .. problems, 2)
    end
    current = options
    return options
end


--- The options of this process, by the names above.
-- `ports` maps the number of a listener to the number of the port whose rules it takes.
function _M.get()
    if not current then
        error("the options are not configured yet", 2)
    end
    return current
end


return _M
