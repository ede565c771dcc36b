-- Runs the luaunit file that the environment names as UNIT_FILE and ends the process: 0 passed, 1 not. See nginx.conf.
--
-- The file returns its suites, name -> table of functions whose names begin with "test". They run in a timer, because there
-- they may sleep, and what yields runs as it does in the gateway.

local exit = os.exit  -- luaunit puts its own in place

-- nginx's own `print` writes to the error log.
local function print_to_stdout(...)
    local texts = {}
    for i = 1, select("#", ...) do
        texts[i] = tostring((select(i, ...)))
    end
    io.stdout:write(table.concat(texts, "\t"), "\n")
end

local function sorted_suites(suites)
    local list = {}
    for name, suite in pairs(suites) do
        list[#list + 1] = { name, suite }
    end
    table.sort(list, function(a, b) return a[1] < b[1] end)
    return list
end

local function run(path)
    package.path = path:match("^(.*)/") .. "/?.lua;" .. package.path
    rawset(_G, "print", print_to_stdout)
    rawset(_G, "testNames", false)  -- luaunit assigns to it, and nginx warns of new globals
    local luaunit = require "luaunit"
    local suites = sorted_suites(dofile(path))
    local runner = luaunit.LuaUnit.new()
    runner:setOutputType(os.getenv("UNIT_OUTPUT") or "tap", os.getenv("UNIT_REPORT"))
    local failed = runner:runSuiteByInstances(suites)
    if runner.result.selectedCount == 0 then
        error(path .. " has no tests")
    end
    return failed == 0
end

local function finish(premature)
    if premature then
        return
    end
    local ok, passed = xpcall(run, debug.traceback, os.getenv("UNIT_FILE"))
    if not ok then
        io.stdout:write("Bail out! ", (tostring(passed):gsub("\n", "\n# ")), "\n")
    end
    io.stdout:flush()
    exit(ok and passed and 0 or 1)
end

assert(ngx.timer.at(0, finish))
