--- Names of the shared dictionaries: http and stream each have their own, and nginx wants the names to differ.

local PREFIX = ngx.config.subsystem == "stream" and "stream_" or ""


--- @param name of a dictionary in the http subsystem
-- @return its name in the subsystem that this runs in
return function(name)
    return PREFIX .. name
end
