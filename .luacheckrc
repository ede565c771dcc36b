-- Lua of the gateway, its embedded libraries and its tests; run as `luacheck lua t`.
std = "ngx_lua"
max_line_length = 140
