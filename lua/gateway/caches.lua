--- The three caches that requests read the policy from: `rule_cache`, `cert_cache` and `backend_cache`.
--
--     L1  this worker's LRU: what requests work with (index, groups, parsed certificate)
--     L2  the shared dictionary of the same name: JSON text, all workers
--     L3  the shelf, where the reader puts the policy in force
--
-- A read goes 1, 2, 3, and returns the level as its third value, or 4 for the value before (see `gateway.caches.store`); on the way up
-- `gateway.assembly` makes the value of the text. A changed key is deleted through the cache's own delete, which broadcasts on the
-- channel of the workers.

local assembly = require "gateway.assembly"
local channel = require "gateway.channel"
local shelf_module = require "gateway.shelf"
local slice = require "gateway.slice"
local store_module = require "gateway.caches.store"

local error = error
local now = ngx.now
local pairs = pairs
local sleep = ngx.sleep
local type = type

-- Seconds that requests wait for the first policy of all, from the first of them on.
local PATIENCE = 2
local POLL = 0.01
-- Keys between two pauses.
local STRIDE = 512

local GROUPS = shelf_module.GROUPS

local SPECIFICATIONS = {
    rules = { dictionary = "rule_cache", size = 1024, assemble = assembly.index },
    certificates = { dictionary = "cert_cache", size = 4096, assemble = assembly.certificate },
    groups = { dictionary = "backend_cache", size = 16, assemble = assembly.groups },
}

local shelf
local settled = false
local patience_ends
local stores = {}


-- While no policy was ever read, requests wait for the reader, which may be another worker.
local function await_reader()
    if settled then
        return
    end
    patience_ends = patience_ends or now() + PATIENCE
    while not shelf:is_settled() and now() < patience_ends do
        sleep(POLL)
    end
    settled = shelf:is_settled()
end


local function check_store(store, stretch)
    local keys = store:keys()
    for i = 1, #keys do
        local ok, err = store:check(keys[i])
        if not ok then
            return nil, err
        end
        if i % STRIDE == 0 then
            stretch:pause()
        end
    end
    return true
end


local _M = {}


--- Makes the caches of this process and joins the channel; called in init_worker. Throws when nginx.conf lacks a dictionary.
function _M.start()
    shelf = shelf_module.open()
    local ok, err = channel.start()
    if not ok then
        error(err)
    end
    for name, specification in pairs(SPECIFICATIONS) do
        stores[name], err = store_module.new(specification, shelf, await_reader)
        if not stores[name] then
            error(err)
        end
    end
end


--- Runs the events that this worker has not seen yet; every request begins with it.
-- @return true, or nil, err
function _M.update()
    return channel.poll()
end


--- The rules of a port. May wait; not to be called in the balancer, filter and log phases.
-- @param port_key "http_tcp_80"
-- @return index; or nil when the port has no rules; or nil, err. Third value: level 1, 2, 3, or 4 for the value before this one
function _M.rules(port_key)
    return stores.rules:take(port_key)
end


--- The backend groups in force. May wait, like `rules`.
-- @return { list, by_name, stamp }, the same table for as long as no group changes; or nil when there was never a policy;
--         or nil, err. Third value: the level
function _M.groups()
    return stores.groups:take(GROUPS)
end


--- The certificate of a name, without any search for wildcards. May wait, like `rules`.
-- @param domain in lower case, or a port's number as text
-- @return { chain, key } for ngx.ssl; or nil when the policy has none of that name; or nil, err. Third value: the level
function _M.certificate(domain)
    await_reader()
    -- Names come from clients, who can make up any number of them: a name that the policy does not have never
    -- enters a cache. The stamp of a certificate is a text, that of a list a number.
    if type(shelf:stamp(domain)) ~= "string" then
        return nil, nil, 3
    end
    return stores.certificates:take(domain)
end


--- Whether any policy was ever taken over.
function _M.has_policy()
    return shelf:generation() ~= nil
end


--- Tells all workers that a key is to be read anew.
-- @param which "rules", "groups" or "certificates"
-- @return true, or nil, err
function _M.invalidate(which, key)
    return stores[which]:delete(key)
end


--- Tells all workers that every key of a cache is to be read anew.
-- @return true, or nil, err
function _M.invalidate_all(which)
    return stores[which]:purge()
end


--- Compares what this worker holds with the shelf and lets go what is old; each worker does it each policy_interval.
-- @return true, or nil, err
function _M.check()
    local stretch = slice.new()
    for _, store in pairs(stores) do
        local ok, err = check_store(store, stretch)
        if not ok then
            return nil, err
        end
    end
    return true
end


return _M
