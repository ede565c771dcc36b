# Which of several rules that match is taken: the first of the list, with any kind of test.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

run_tests();

__DATA__

=== TEST 1: of two rules that match, the first in the list is taken
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]}]
--- probes
GET /a  => one
--- no_error_log
[error]



=== TEST 2: a shorter prefix that stands first wins over a longer one
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/a/b"]]},
 {"rule": "t", "upstream": "three", "internal_dsl": [["EQ", "URL", "/a/b/c"]]}]
--- probes
GET /a/b/c  => one
GET /a/b  => one
--- no_error_log
[error]



=== TEST 3: a longer prefix that stands first leaves the rest to the shorter
--- rules
[{"rule": "t", "upstream": "three", "internal_dsl": [["EQ", "URL", "/a/b/c"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/a/b"]]},
 {"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/a"]]}]
--- probes
GET /a/b/c  => three
GET /a/b/d  => two
GET /a/c  => one
--- no_error_log
[error]



=== TEST 4: a rule for any host that stands first wins over one for the host
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/x"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["EQ", "HOST", "a.example"]]}]
--- probes
GET /x  Host: a.example  => one
GET /y  Host: a.example  => two
--- no_error_log
[error]



=== TEST 5: a rule with a wildcard that stands first wins over one for the exact host
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["ENDS_WITH", "HOST", "*.example"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["EQ", "HOST", "a.example"]]}]
--- probes
GET /  Host: a.example  => one
--- no_error_log
[error]



=== TEST 6: a rule for the exact host that stands first wins over the wildcard
--- rules
[{"rule": "s", "upstream": "two", "internal_dsl": [["EQ", "HOST", "a.example"]]},
 {"rule": "r", "upstream": "one", "internal_dsl": [["ENDS_WITH", "HOST", "*.example"]]}]
--- probes
GET /  Host: a.example  => two
GET /  Host: b.example  => one
--- no_error_log
[error]



=== TEST 7: a regular expression that stands first wins over what an index would find sooner
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["REGEX", "URL", "b$"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["AND", ["EQ", "HOST", "a.example"], ["EQ", "URL", "/ab"]]]}]
--- probes
GET /ab  Host: a.example  => one
GET /ab?c  Host: a.example  => one
GET /abc  Host: a.example  => 404
--- no_error_log
[error]



=== TEST 8: a rule whose other conditions do not hold leaves the request to the next
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["AND", ["EQ", "HOST", "a.example"], ["EQ", "HEADER", "X-Canary", "1"]]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["EQ", "HOST", "a.example"]]}]
--- probes
GET /  Host: a.example  X-Canary: 1  => one
GET /  Host: a.example  X-Canary: 0  => two
GET /  Host: a.example  => two
--- no_error_log
[error]



=== TEST 9: a rule for everything at the end takes what is left
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["EQ", "HOST", "a.example"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/b"]]},
 {"rule": "t", "upstream": "three", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- probes
GET /b  Host: a.example  => one
GET /b  Host: c.example  => two
GET /c  Host: c.example  => three
--- no_error_log
[error]



=== TEST 10: among many rules of one host each path finds the first that takes it
--- rules eval
'[' . CORE::join(', ', map {
    qq({"rule": "r$_", "redirect_url": "/rule-$_", "internal_dsl": [["AND", ["EQ", "HOST", "a.example"], ["STARTS_WITH", "URL", "/p$_"]]]})
} 1 .. 40) . ']'
--- probes
GET /p1  Host: a.example  => 302 /rule-1
GET /p17/x  Host: a.example  => 302 /rule-1
GET /p2  Host: a.example  => 302 /rule-2
GET /p39  Host: a.example  => 302 /rule-3
GET /p9  Host: a.example  => 302 /rule-9
GET /p  Host: a.example  => 404
GET /p1  Host: b.example  => 404
--- no_error_log
[error]



=== TEST 11: among many hosts each finds its own rule, and the order still counts
--- rules eval
'[' . CORE::join(', ', map {
    qq({"rule": "r$_", "redirect_url": "/rule-$_", "internal_dsl": [["EQ", "HOST", "h) . ($_ % 50) . qq(.example"]]})
} 1 .. 100) . ']'
--- probes
GET /  Host: h1.example  => 302 /rule-1
GET /  Host: h0.example  => 302 /rule-50
GET /  Host: h49.example  => 302 /rule-49
GET /  Host: h50.example  => 404
--- no_error_log
[error]



=== TEST 12: the order of a new policy takes the place of the old one's
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]},
 {"rule": "s", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "s", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]},
 {"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.say(testing.who("/x"))
testing.use(2)
ngx.say(testing.who("/x"))
--- response_body
one
two
--- no_error_log
[error]
