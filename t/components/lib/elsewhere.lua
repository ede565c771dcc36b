--- Runs Lua text in another worker of the same nginx, for tests that look at what workers see of each other.
--
-- The text gets a table `own`, which each worker keeps for itself from one text to the next, and what `setup` (the block's
-- section `worker`) put there. Text and answer travel through the dictionary `elsewhere`.

local dict = ngx.shared.elsewhere

local INTERVAL = 0.005
local PATIENCE = 5

local own = {}

local function load_text(text, name)
    return assert(loadstring("local own = ...\n" .. text, "=" .. name))
end

local function pack_text(ok, ...)
    local parts = { ok and "" or "failed: " }
    for i = 1, select("#", ...) do
        parts[i + 1] = tostring((select(i, ...)))
    end

    return (table.concat(parts, " "):gsub("^ ", ""))
end

local function look_for_job(premature)
    if premature then
        return
    end

    local id = ngx.worker.id()
    local text = dict:get("job:" .. id)
    if text then
        dict:delete("job:" .. id)
        dict:set("answer:" .. id, pack_text(pcall(load_text(text, "job"), own)))
    end
end

local function wait_until(test)
    local deadline = ngx.now() + PATIENCE
    repeat
        local value = test()
        if value ~= nil then
            return value
        end
        ngx.sleep(INTERVAL)
    until ngx.now() > deadline

    error("the other worker does not answer")
end

local _M = { own = own }

--- Called in each worker as it starts. setup: Lua text.
function _M.start(setup)
    load_text(setup, "worker")(own)
    dict:set("ready:" .. ngx.worker.id(), true)
    assert(ngx.timer.every(INTERVAL, look_for_job))
end

--- Waits until all workers have started.
function _M.await_all()
    for id = 0, ngx.worker.count() - 1 do
        wait_until(function() return dict:get("ready:" .. id) end)
    end
end

--- The number of another worker than this one.
function _M.id()
    return (ngx.worker.id() + 1) % ngx.worker.count()
end

--- Runs `text` in worker `id` (default: the next one). Returns what it returns, as text, with a space between the values.
function _M.run(text, id)
    id = id or _M.id()
    wait_until(function() return dict:get("ready:" .. id) end)
    dict:delete("answer:" .. id)
    assert(dict:set("job:" .. id, text))

    return wait_until(function() return dict:get("answer:" .. id) end)
end

return _M
