local luaunit = require "luaunit"
local uri = require "gateway.uri"

local equals = luaunit.assertEquals

local function check(pattern, target, path, expected, query)
    equals({ uri.rewrite({ pattern = pattern, target = target }, path) }, { expected, query })
end


local TestRewrite = {}

function TestRewrite.test_what_the_pattern_finds_first_is_replaced()
    check("/a", "/b", "/a/a", "/b/a")
end

function TestRewrite.test_a_path_without_the_pattern_stays()
    check("^/x", "/b?q", "/a", "/a")
end

function TestRewrite.test_groups_stand_in_the_target()
    check("^/(.)(.)$", "/$2/${1}x", "/ab", "/b/ax")
end

function TestRewrite.test_a_dollar_is_written_twice()
    check("^/a$", "/$$1", "/a", "/$1")
end

function TestRewrite.test_without_a_pattern_the_whole_path_is_replaced()
    check(nil, "/x", "/a/b", "/x")
    check(nil, "/x?y=1", "/a/b", "/x", "y=1")
end

function TestRewrite.test_a_query_in_the_target_takes_groups_escaped()
    check("^/(.*)$", "/x?p=$1&q", "/a b&c", "/x", "p=a%20b%26c&q")
    check("^/(a)?(.*)$", "/x?p=$1&q=$2", "/b", "/x", "p=&q=b")
end

function TestRewrite.test_a_question_mark_of_the_path_is_not_a_query()
    check("^/a", "/b", "/a?c", "/b?c")
    check("^/(.*)$", "/$1", "/a?c", "/a?c")
end

function TestRewrite.test_the_path_begins_with_a_slash()
    check("^/a/", "b", "/a/", "/b")
    check(nil, "b", "/a", "/b")
end

function TestRewrite.test_a_target_that_cannot_be_filled_in_is_an_error()
    local path, err = uri.rewrite({ pattern = "^/a", target = "/${x" }, "/a")
    equals(path, nil)
    luaunit.assertStrContains(err, "could not rewrite the path: ")
end


return { TestRewrite = TestRewrite }
