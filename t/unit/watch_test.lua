local luaunit = require "luaunit"
local watch = require "gateway.watch"

local equals = luaunit.assertEquals

local LIMIT = 1024 * 1024

local folder, path

local function pause()
end

local function write(text, where)
    local file = assert(io.open(where or path, "wb"))
    file:write(text)
    file:close()
end

local function run(...)
    assert(os.execute(string.format(...)))
end

-- The text of the file with its status; or what `read` returns when it cannot be read.
local function read(watcher, on_pause)
    local content, found, problem = watcher:read(on_pause or pause)
    if not content then
        return nil, found, problem
    end
    local text = content:text()
    content:release()
    return text, found
end

-- Makes the change, and tells whether a look sees it.
local function sees(change)
    local watcher = watch.new(path, LIMIT)
    local before = watcher:look()
    change()
    local after = watcher:look()
    return (before and before.identity) ~= (after and after.identity)
end


local TestWatch = {}

function TestWatch.setUp()
    folder = os.tmpname()
    os.remove(folder)
    run("mkdir %s", folder)
    path = folder .. "/policy.json"
end

function TestWatch.tearDown()
    run("rm -r %s", folder)
end

function TestWatch.test_a_file_that_does_not_exist()
    local watcher = watch.new(path, LIMIT)
    equals({ watcher:look() }, { nil, "could not open: No such file or directory" })
    equals({ read(watcher) }, { nil, "could not open: No such file or directory" })
end

function TestWatch.test_content_and_status()
    write("{}\n")
    local text, found = read(watch.new(path, LIMIT))
    equals({ text, found.size, found.is_regular, found.is_directory }, { "{}\n", 3, true, false })
    luaunit.assertAlmostEquals(found.modified, ngx.time(), 5)
end

function TestWatch.test_a_look_and_a_reading_agree_on_the_files_identity()
    write("{}")
    local watcher = watch.new(path, LIMIT)
    local _, found = read(watcher)
    equals(watcher:look().identity, found.identity)
end

function TestWatch.test_the_digest_follows_the_content()
    local digests = {}
    for i, text in ipairs({ "a", "b", "a", ("a"):rep(600000), ("a"):rep(600000) .. "b" }) do
        write(text)
        digests[i] = select(2, read(watch.new(path, LIMIT))).digest
    end
    equals(digests[1], digests[3])
    luaunit.assertNotEquals(digests[1], digests[2])
    luaunit.assertNotEquals(digests[4], digests[5])
end

function TestWatch.test_the_digest_is_that_of_the_whole_content()
    for _, text in ipairs({ "{}", ("a"):rep(256 * 1024), ("b"):rep(256 * 1024 + 1), ("c"):rep(900000) }) do
        write(text)
        local _, found = read(watch.new(path, LIMIT))
        equals(found.digest, ngx.md5(text))
    end
end

function TestWatch.test_nothing_is_seen_where_nothing_changed()
    write("{}")
    luaunit.assertFalse(sees(function() read(watch.new(path, LIMIT)) end))
end

function TestWatch.test_changes_are_seen()
    write("{}")
    luaunit.assertTrue(sees(function() write("[] ") end))
    luaunit.assertTrue(sees(function() write("{}", path .. ".new") os.rename(path .. ".new", path) end))
    luaunit.assertTrue(sees(function() os.remove(path) end))
    luaunit.assertTrue(sees(function() write("{}") end))
end

function TestWatch.test_a_file_of_the_same_size_and_time_is_another_one()
    write("{}")
    luaunit.assertTrue(sees(function()
        run("cp -p %s %s.new && mv %s.new %s", path, path, path, path)
    end))
end

function TestWatch.test_a_changed_mode_is_seen()
    write("{}")
    luaunit.assertTrue(sees(function() run("chmod 600 %s && chmod 644 %s", path, path) end))
end

function TestWatch.test_a_link_further_up_that_leads_elsewhere_is_seen()
    run("mkdir %s/1 %s/2 && ln -s 1 %s/..data && ln -s ..data/policy.json %s", folder, folder, folder, path)
    write("one", folder .. "/1/policy.json")
    write("two", folder .. "/2/policy.json")
    local watcher = watch.new(path, LIMIT)
    equals(read(watcher), "one")
    luaunit.assertTrue(sees(function()
        run("ln -s 2 %s/..tmp && mv -T %s/..tmp %s/..data", folder, folder, folder)
    end))
    equals(read(watcher), "two")
end

function TestWatch.test_what_is_no_file()
    run("mkdir %s", path)
    equals({ read(watch.new(path, LIMIT)) }, { nil, "is a directory", watch.new(path, LIMIT):look() })
    run("rmdir %s && mkfifo %s", path, path)
    equals({ read(watch.new(path, LIMIT)) }, { nil, "is not a regular file", watch.new(path, LIMIT):look() })
end

function TestWatch.test_an_empty_and_a_large_file()
    write("")
    equals({ read(watch.new(path, LIMIT)) }, { nil, "is empty", watch.new(path, LIMIT):look() })
    write("12345")
    equals(read(watch.new(path, 5)), "12345")
    equals({ read(watch.new(path, 4)) }, { nil, "has 5 bytes, the limit is 4", watch.new(path, LIMIT):look() })
end

function TestWatch.test_a_file_that_changes_while_it_is_read_is_read_again()
    write("a" .. ("x"):rep(600000))
    local pauses = 0
    local text = read(watch.new(path, LIMIT), function()
        pauses = pauses + 1
        if pauses == 2 then
            write("b" .. ("x"):rep(500000))
        end
    end)
    equals({ text:sub(1, 1), #text }, { "b", 500001 })
end

function TestWatch.test_a_file_that_never_stops_changing()
    write("a")
    local count = 0
    local text, err, found = read(watch.new(path, LIMIT), function()
        count = count + 1
        write(("a"):rep(count % 7 + 1))
    end)
    equals({ text, err, found ~= nil }, { nil, "changed while it was read", true })
    luaunit.assertTrue(count >= 5)
end

function TestWatch.test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end()
    write("old" .. ("x"):rep(600000))
    local pauses = 0
    local text = read(watch.new(path, LIMIT), function()
        pauses = pauses + 1
        if pauses == 1 then
            write("new", path .. ".new")
            os.rename(path .. ".new", path)
        end
    end)
    luaunit.assertTrue(text == "new" or #text == 600003)
end


return { TestWatch = TestWatch }
