--- Checks what callers hand to `resty.mlcache`. Every function returns its finding, and leaves throwing to the function
-- that the caller called, so that the error points at the caller.

local ipairs = ipairs
local shared = ngx.shared
local type = type

-- name, least value
local CALL_NUMBERS = {
    { "ttl", 0 },
    { "neg_ttl", 0 },
    { "resurrect_ttl", 0 },
    { "shm_set_tries", 1 },
}

local TYPED = {
    { "lru_size", "number" },
    { "lru", "table" },
    { "resty_lock_opts", "table" },
    { "shm_miss", "string" },
    { "shm_locks", "string" },
    { "ipc_shm", "string" },
    { "ipc", "table" },
}

local IPC_FUNCTIONS = { "register_listeners", "broadcast", "poll" }

local function article(type_name)
    return "must be a " .. type_name
end

local function call_error(opts)
    for _, number in ipairs(CALL_NUMBERS) do
        local name, least = number[1], number[2]
        local value = opts[name]

        if value ~= nil then
            if type(value) ~= "number" then
                return "opts." .. name .. " must be a number"
            end

            if value < least then
                return "opts." .. name .. " must be >= " .. least
            end
        end
    end

    if opts.l1_serializer ~= nil and type(opts.l1_serializer) ~= "function" then
        return "opts.l1_serializer must be a function"
    end
end

local function type_error(opts)
    for _, option in ipairs(TYPED) do
        local name, wanted = option[1], option[2]
        local value = opts[name]

        if value ~= nil and type(value) ~= wanted then
            return "opts." .. name .. " " .. article(wanted)
        end
    end
end

local function ipc_error(opts)
    local ipc = opts.ipc
    if not ipc then
        return nil
    end

    if opts.ipc_shm then
        return "cannot specify both of opts.ipc_shm and opts.ipc"
    end

    for _, name in ipairs(IPC_FUNCTIONS) do
        local value = ipc[name]
        -- Only polling may be left out: some channels call the listeners by themselves.
        if type(value) ~= "function" and not (name == "poll" and value == nil) then
            return "opts.ipc." .. name .. " must be a function"
        end
    end
end

local _M = {}

--- Returns the fault of the arguments of new(), as text, or nil.
function _M.new_error(name, shm, opts)
    if type(name) ~= "string" then
        return "name must be a string"
    end

    if type(shm) ~= "string" then
        return "shm must be a string"
    end

    if opts == nil then
        return nil
    end

    if type(opts) ~= "table" then
        return "opts must be a table"
    end

    return type_error(opts) or call_error(opts) or ipc_error(opts)
end

--- Which dictionary is not there? Returns the text, or nil.
function _M.dict_error(shm, opts)
    if not shared[shm] then
        return "no such lua_shared_dict: " .. shm
    end

    for _, name in ipairs({ "shm_miss", "shm_locks" }) do
        if opts[name] and not shared[opts[name]] then
            return "no such lua_shared_dict for opts." .. name .. ": " .. opts[name]
        end
    end
end

--- The settings of one call: a table with ttl, neg_ttl, resurrect_ttl, l1_serializer and shm_set_tries, which is the
-- instance itself when the caller gave no options. Returns nil and a text when an option is wrong.
function _M.settings(instance, opts)
    if opts == nil then
        return instance
    end

    if type(opts) ~= "table" then
        return nil, "opts must be a table"
    end

    local err = call_error(opts)
    if err then
        return nil, err
    end

    return {
        ttl = opts.ttl or instance.ttl,
        neg_ttl = opts.neg_ttl or instance.neg_ttl,
        resurrect_ttl = opts.resurrect_ttl or instance.resurrect_ttl,
        l1_serializer = opts.l1_serializer or instance.l1_serializer,
        shm_set_tries = opts.shm_set_tries or instance.shm_set_tries,
    }
end

return _M
