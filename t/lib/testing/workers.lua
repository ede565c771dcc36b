--- Asking each worker for itself: what its caches hold, and who serves its requests. Blocks with the section `ask_workers` have a
-- server for it, on which each worker has a listening socket of its own; a connection that is kept open stays with its worker.
--
--     local workers = require("testing.workers").connect(2)
--     ngx.say(workers:ask(0, "rules/http_tcp_80"))      -- "3 a b": from level 3, the rules a and b
--     ngx.say(workers:who_all("/x"))                    -- "one; one": in both workers /x goes to the backend one

local testing = require "testing"

local setmetatable = setmetatable

local MOST_CONNECTIONS = 400
-- Requests to the server's own location, not through the gateway's rules.
local PREFIX = "/ask/"
local KEEP = { connection = "keep-alive" }

local _M = {}
local mt = { __index = _M }


local function names_of(list, field)
    local names = {}
    for i, value in ipairs(list) do
        names[i] = value[field]
    end
    return table.concat(names, " ")
end


-- Tells one table from another of the same content.
local function address_of(value)
    return tostring(value):match("0x%x+")
end


-- Answers of a worker: "<level> <what it has>", or "error <err>".
local ANSWERS = {
    rules = function(key)
        local index, err, level = require("gateway.caches").rules(key)
        return err, level, index and names_of(index.rules, "id")
    end,

    index = function(key)
        local index, err, level = require("gateway.caches").rules(key)
        return err, level, index and address_of(index)
    end,

    groups = function()
        local groups, err, level = require("gateway.caches").groups()
        return err, level, groups and names_of(groups.list, "name")
    end,

    certificate = function(name)
        local certificate, err, level = require("gateway.caches").certificate(name)
        return err, level, certificate and certificate.stamp
    end,

    balancer = function(name)
        local balancer, err, level = require("gateway.balancers").find(name)
        return err, level, balancer and address_of(balancer)
    end,
}


--- The answer of the location /ask/ of that server.
function _M.answer()
    local what, key = ngx.var.uri:match("^/ask/(%w+)/?(.*)$")
    if what == "who" then
        return ngx.say(ngx.worker.id(), " ", ngx.worker.pid())
    end
    if ngx.var.arg_update ~= "no" then
        require("gateway.caches").update()
    end
    local err, level, value = ANSWERS[what](key)
    ngx.say(err and "error " .. err or tostring(level) .. " " .. tostring(value))
end


local function exchange(sock, path)
    testing.send(sock, path, KEEP)
    return testing.receive(sock, KEEP)
end


local function ask(sock, path)
    local answer, err = exchange(sock, PREFIX .. path)
    if not answer then
        return nil, err
    end
    return (answer.body:gsub("\n$", ""))
end


-- A connection to the worker that takes it: { sock, pid }, and the worker's number.
local function connect_any()
    local sock = assert(testing.connect("workers"))
    local id, pid = assert(ask(sock, "who")):match("^(%d+) (%d+)$")
    return { sock = sock, pid = tonumber(pid) }, tonumber(id)
end


--- Connections to so many workers, numbered from 0.
function _M.connect(count)
    local self = setmetatable({ count = count, spare = {} }, mt)
    local missing = count
    for _ = 1, MOST_CONNECTIONS do
        local connection, id = connect_any()
        if not self[id] then
            self[id] = connection
            missing = missing - 1
            if missing == 0 then
                return self
            end
        else
            connection.sock:close()
        end
    end
    error(missing .. " workers could not be reached")
end


--- A second connection to a worker, as another table of connections that has only that one.
function _M:again(id)
    for _ = 1, MOST_CONNECTIONS do
        local connection, found = connect_any()
        if found == id then
            return setmetatable({ count = self.count, [id] = connection }, mt)
        end
        connection.sock:close()
    end
    error("worker " .. id .. " could not be reached again")
end


--- A worker's answer to "rules/<key>", "index/<key>", "groups", "certificate/<name>" or "balancer/<name>".
function _M:ask(id, path)
    return ask(self[id].sock, path)
end


--- As `ask`, but does not wait for the answer.
function _M:ask_in_vain(id, path)
    testing.send(self[id].sock, PREFIX .. path, KEEP)
end


-- The results of `ask_one(id)` for each worker in turn, joined with "; ".
local function join(self, ask_one)
    local answers = {}
    for id = 0, self.count - 1 do
        answers[id + 1] = tostring(ask_one(id))
    end
    return table.concat(answers, "; ")
end


--- The answers of all workers, one after the other, joined with "; ".
function _M:ask_all(path)
    return join(self, function(id) return self:ask(id, path) end)
end


--- The backend that serves this request of the gateway in a worker, or the status when it is none.
function _M:who(id, path)
    return testing.backend_of(assert(exchange(self[id].sock, path)))
end


--- The same for all workers, one after the other, joined with "; ".
function _M:who_all(path)
    return join(self, function(id) return self:who(id, path) end)
end


--- The answers of all workers when they are asked at the same time, sorted and joined with "; ".
function _M:ask_at_once(path)
    local threads, answers = {}, {}
    for id = 0, self.count - 1 do
        threads[id + 1] = ngx.thread.spawn(self.ask, self, id, path)
    end
    for i, thread in ipairs(threads) do
        local _, answer = ngx.thread.wait(thread)
        answers[i] = answer
    end
    table.sort(answers)
    return table.concat(answers, "; ")
end


-- Seconds until `ask_one(id)` returns the value, as text, for each worker; nil and an error when it does not within the limit.
local function wait_for(self, value, limit, ask_one)
    ngx.update_time()
    local began = ngx.now()
    for id = 0, self.count - 1 do
        local answered = testing.wait_until(function() return tostring(ask_one(id)) == value end, limit - (ngx.now() - began))
        if not answered then
            return nil, "worker " .. id .. " answers " .. tostring(ask_one(id))
        end
    end
    return ngx.now() - began
end


--- Seconds until each worker answers with this value, from any level; nil and an error when one does not within the limit.
function _M:wait_for(path, value, limit)
    return wait_for(self, value, limit, function(id) return self:ask(id, path):match("^%S+ (.*)$") end)
end


--- Seconds until in each worker this backend (or status) serves the request; nil and an error when not within the limit.
function _M:wait_for_backend(path, backend, limit)
    return wait_for(self, backend, limit, function(id) return self:who(id, path) end)
end


return _M
