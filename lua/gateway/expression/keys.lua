--- Necessary conditions of an expression, which the index looks rules up by.
--
-- Keys are nil (nothing is known: any request may match) or a list of alternatives, each with some of
--   host = "a.b"          the host is this
--   wildcard = "foo.bar"  the host has exactly one label before this
--   path = "/x"           the path is this
--   prefix = "/y"         the path begins with this
-- of which all must hold. A request that fulfils no alternative cannot match; no alternatives at all: nothing can. Often they
-- are not only necessary but say all that the expression does: then no other test is needed.
-- An alternative never has both of host and wildcard, or both of path and prefix: the narrower says it all.

local affix = require "gateway.affix"

local begins_with = affix.begins_with
local ends_with = affix.ends_with
local find = string.find

-- Above this a rule costs more in the index than it saves.
local MOST_ALTERNATIVES = 128

local function label_before(host, parent)
    local dot = find(host, ".", 1, true)
    return dot ~= nil and dot > 1 and #host - dot == #parent and ends_with(host, parent)
end

-- Both hosts' conditions as one: host, wildcard. Or nothing and true when they exclude each other.
local function join_hosts(a, b)
    local host, wildcard = a.host or b.host, a.wildcard or b.wildcard
    if (a.host and b.host and a.host ~= b.host) or (a.wildcard and b.wildcard and a.wildcard ~= b.wildcard) then
        return nil, nil, true
    end
    if host and wildcard then
        if not label_before(host, wildcard) then
            return nil, nil, true
        end
        wildcard = nil
    end
    return host, wildcard, false
end

-- The longer of two prefixes, when it begins with the shorter.
local function join_prefixes(a, b)
    if not (a and b) then
        return a or b, false
    end
    if #a < #b then
        a, b = b, a
    end
    return a, not begins_with(a, b)
end

-- Both paths' conditions as one: path, prefix. Or nothing and true when they exclude each other.
local function join_paths(a, b)
    local path = a.path or b.path
    local prefix, apart = join_prefixes(a.prefix, b.prefix)
    if apart or (a.path and b.path and a.path ~= b.path) then
        return nil, nil, true
    end
    if path and prefix then
        if not begins_with(path, prefix) then
            return nil, nil, true
        end
        prefix = nil
    end
    return path, prefix, false
end

local function join(a, b)
    local host, wildcard, hosts_apart = join_hosts(a, b)
    local path, prefix, paths_apart = join_paths(a, b)
    if hosts_apart or paths_apart then
        return nil
    end
    -- One by one: an absent field takes no room, and there may be very many rules.
    local joint = {}
    joint.host, joint.wildcard, joint.path, joint.prefix = host, wildcard, path, prefix
    return joint
end

local function holds(key, host, path)
    return (not key.host or key.host == host)
       and (not key.prefix or path ~= nil and begins_with(path, key.prefix))
       and (not key.path or key.path == path)
       and (not key.wildcard or host ~= nil and label_before(host, key.wildcard))
end


local _M = {}


--- One alternative for each of values: `of("host", {"a", "b"})`.
function _M.of(condition, values)
    if #values > MOST_ALTERNATIVES then
        return nil
    end
    local keys = {}
    for i = 1, #values do
        keys[i] = { [condition] = values[i] }
    end
    return keys
end


--- Keys of "a and b", and whether they say as much as a and b do together.
function _M.both(a, b)
    if not (a and b) then
        return a or b, false
    end
    if #a * #b > MOST_ALTERNATIVES then
        return #a <= #b and a or b, false
    end
    local keys = {}
    for i = 1, #a do
        for j = 1, #b do
            keys[#keys + 1] = join(a[i], b[j])
        end
    end
    return keys, true
end


--- Keys of "a or b", and whether they say as much as a and b do together.
function _M.either(a, b)
    if not (a and b) or #a + #b > MOST_ALTERNATIVES then
        return nil, false
    end
    local keys = {}
    for i = 1, #a do
        keys[i] = a[i]
    end
    for i = 1, #b do
        keys[#keys + 1] = b[i]
    end
    return keys, true
end


--- Writes keys into a rule, which becomes their first alternative itself; the others follow as `rule.other`, `rule.other.other`.
-- Without any alternative `rule.never` is true. So most rules have their keys at hand without another table.
function _M.inscribe(keys, rule)
    local first = keys[1]
    if not first then
        rule.never = true
        return
    end
    rule.host, rule.wildcard, rule.path, rule.prefix = first.host, first.wildcard, first.path, first.prefix
    rule.other = keys[2]
    for i = 2, #keys do
        keys[i].other = keys[i + 1]
    end
end


local function one_of_others_holds(key, host, path)
    while key do
        if holds(key, host, path) then
            return true
        end
        key = key.other
    end
    return false
end


--- Whether a request fulfils one of the alternatives of a rule that has keys. Most have but one; a loop here would keep LuaJIT from
-- translating what calls it as a whole.
function _M.hold(rule, request)
    local host, path = request.host, request.path
    if rule.never then
        return false
    end
    return holds(rule, host, path) or (rule.other ~= nil and one_of_others_holds(rule.other, host, path))
end


return _M
