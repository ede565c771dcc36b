# The process that reads the policy: files that come late, vanish, change all the time, are large; and processes that are killed.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

use HTTP::Tiny;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

workers(2);

# The section `kill` names the process that is killed once the answer is there: "reader" or "another". It cannot be done by a request,
# which the killed worker might be serving.
sub ask {
    my ($port, $path) = @_;
    return HTTP::Tiny->new(keep_alive => 0, timeout => 2)->get("http://127.0.0.1:$port$path");
}

sub wait_until {
    my ($seconds, $condition) = @_;
    my $deadline = time + $seconds;
    while (time < $deadline) {
        return 1 if $condition->();
        sleep 0.02;
    }
    return 0;
}

# The worker that does not read.
sub another_worker {
    my $reader = shift;
    my $pid;
    wait_until(5, sub {
        $pid = ask($ENV{TEST_NGINX_PORT_HTTP}, '/pid')->{content};
        return $pid =~ /^\d+$/ && $pid != $reader;
    }) or return;
    return $pid;
}

add_block_preprocessor(sub {
    my $block = shift;
    return if !defined $block->kill;
    $block->set_value('config', ($block->config || '') . <<'_EOC_');
        location = /pid { content_by_lua_block { ngx.print(ngx.worker.pid()) } }
        location = /reader { content_by_lua_block { ngx.print(ngx.shared.policy:get("/state")) } }
_EOC_
});

add_response_body_check(sub {
    my $block = shift;
    return if !defined $block->kill;
    my $name = $block->name;
    my $http = $ENV{TEST_NGINX_PORT_HTTP};
    my $reader = JSON::PP->new->decode(ask($http, '/reader')->{content})->{pid};
    my $victim = $block->kill =~ /reader/ ? $reader : another_worker($reader);
    ok($victim && kill('KILL', $victim), "$name - killed");
    my @failed = grep { $_ ne 'one' } map { ask($http, '/x?close=1')->{headers}{'x-backend'} || 'none' } 1 .. 50;
    is(scalar @failed, 0, "$name - service goes on");
    ok(rename("$Test::Nginx::Util::HtmlDir/policy-2.json", "$Test::Nginx::Util::HtmlDir/policy.json"), "$name - another policy");
    ok(wait_until(2, sub { (ask($http, '/x?close=1')->{headers}{'x-backend'} || '') eq 'two' }), "$name - taken within two seconds");
    ok(wait_until(2, sub { !grep { (ask($http, '/x?close=1')->{headers}{'x-backend'} || '') ne 'two' } 1 .. 20 }), "$name - by all");
});

run_tests();

__DATA__

=== TEST 1: a gateway that starts without a policy takes the file once it appears
--- no_policy
--- rules_2
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
ngx.say("generation ", testing.generation())
testing.use(2)
ngx.say(testing.who("/x"), ", generation ", testing.generation())
--- response_body
generation 0
one, generation 1
--- error_log
refused, no policy is in force yet: could not open: No such file or directory
--- no_error_log
[alert]



=== TEST 2: the policy stays in force when its file is deleted, and a new one is taken
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
testing.remove_policy()
testing.await_refusals(1)
ngx.say(testing.tally(6, "/x"))
testing.use(2)
ngx.say(testing.wait_until(function() return testing.tally(6, "/x") == "two 6" end, 2) and "taken" or "not taken")
--- response_body
one 6
taken
--- error_log
refused, the previous policy stays in force: could not open: No such file or directory
--- no_error_log
[alert]



=== TEST 3: no request fails while the file is replaced fifty times a second, and then the last one is in force
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_3
[{"rule": "r", "upstream": "three", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local policies = { testing.read(testing.path("policy-2.json")), testing.read(testing.path("policy-3.json")) }
local load = require("testing.load").requests(2, "/x?close=1", 200)
for i = 1, 100 do
    testing.replace_policy(policies[(i - 1) % 2 + 1])
    ngx.sleep(0.02)
end
ngx.say(load:report(50))
ngx.say(testing.wait_until(function() return testing.tally(8, "/x") == "three 8" end, 2) and "the last" or testing.tally(8, "/x"))
--- response_body
0 failed
the last
--- timeout: 20
--- no_error_log
[error]



=== TEST 4: a hundred thousand rules at once are taken, and until then the policy before serves
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- lua
local rules = {}
for i = 1, 99999 do
    rules[i] = ('{"rule": "r%d", "upstream": "three", "internal_dsl": [["EQ", "URL", "/r%d"]]}'):format(i, i)
end
local text = testing.read(testing.path("policy-2.json"))
local opening = '"80":['
local _, stop = text:find(opening, 1, true)
testing.replace_policy(text:sub(1, stop) .. table.concat(rules, ",") .. "," .. text:sub(stop + 1))
rules, text = nil, nil

local others = 0
assert(testing.wait_until(function()
    local who = testing.who("/x")
    others = others + ((who == "one" or who == "two") and 0 or 1)
    return testing.generation() == 2 and testing.tally(8, "/x") == "two 8"
end, 30), "not taken")
ngx.say(others, " served by none of both")
ngx.say(testing.who("/r1"), " ", testing.who("/r50000"), " ", testing.who("/r99999"), ", ",
        testing.metric("gateway_policy_rules"), " rules")
--- response_body
0 served by none of both
three three three, 100001 rules
--- timeout: 60
--- no_error_log
[error]



=== TEST 5: a worker is killed
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- kill: another
--- request
GET /x?close=1
--- response_body
one GET /x?close=1
--- error_log
exited on signal 9
--- no_error_log
[error]



=== TEST 6: the process that reads the policy is killed
--- rules
[{"rule": "r", "upstream": "one", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- rules_2
[{"rule": "r", "upstream": "two", "internal_dsl": [["STARTS_WITH", "URL", "/"]]}]
--- kill: reader
--- request
GET /x?close=1
--- response_body
one GET /x?close=1
--- error_log
exited on signal 9
--- no_error_log
[error]
