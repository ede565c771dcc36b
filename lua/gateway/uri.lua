--- The path and query that the backend is asked for, when a rule rewrites them.
--
-- A rewrite is { pattern, target }: the regular expression's first match in the path is replaced by the target, in which $1, ${2}
-- stand for its groups; without a pattern, the target replaces the whole path. The part after a "?" in the target replaces the query.

local escape_uri = ngx.escape_uri
local find = string.find
local gsub = string.gsub
local re_match = ngx.re.match
local re_sub = ngx.re.sub
local sub = string.sub
local tonumber = tonumber

local GROUP = "%$%{?(%d+)%}?"


-- The template is split, not the result: a "?" that the client sent escaped belongs to the path.
local function split(target)
    local mark = find(target, "?", 1, true)
    if not mark then
        return target
    end
    return sub(target, 1, mark - 1), sub(target, mark + 1)
end


-- Groups are of the decoded path, so that they are escaped where they go into the query.
local function fill_query(template, rewrite, path)
    if not template or not rewrite.pattern then
        return template
    end
    local groups = re_match(path, rewrite.pattern, "jo")
    return (gsub(template, GROUP, function(number)
        return escape_uri(groups[tonumber(number)] or "")
    end))
end


local _M = {}


--- @param rewrite { pattern | nil, target }
-- @param path of the request, decoded
-- @return path (the same one when the pattern is not found in it), query (nil: the request keeps its own); or nil, err
function _M.rewrite(rewrite, path)
    local target, query = split(rewrite.target)
    if rewrite.pattern then
        local replaced, count, err = re_sub(path, rewrite.pattern, target, "jo")
        if not replaced then
            return nil, "could not rewrite the path: " .. err
        end
        if count == 0 then
            return path
        end
        target = replaced
    end
    if sub(target, 1, 1) ~= "/" then
        target = "/" .. target
    end
    return target, fill_query(query, rewrite, path)
end


return _M
