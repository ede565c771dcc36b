-- A request as expressions and the index read it, from a plain table: { host, path, method, source, headers, params,
-- cookies }. Names of headers are in lower case.

local mt = {}
mt.__index = mt

function mt:method()
    return self.fields.method
end

function mt:source()
    return self.fields.source
end

function mt:header(name)
    return (self.fields.headers or {})[name]
end

function mt:param(name)
    return (self.fields.params or {})[name]
end

function mt:cookie(name)
    return (self.fields.cookies or {})[name]
end


return function(fields)
    return setmetatable({ host = fields.host, path = fields.path, fields = fields }, mt)
end
