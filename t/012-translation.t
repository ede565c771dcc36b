# LuaJIT translates a request's way through the gateway as a whole: it never gives up because the way is too long.

use FindBin;
use lib $FindBin::Bin;
use Gateway 'no_plan';

use JSON::PP;

# Rules of hosts, of shared hosts and without a host, so that each kind of search is on the way.
sub rules {
    my %answer = @_;
    my @rules;
    for my $i (1 .. 300) {
        push @rules,
            ['EQ', 'HOST', "h$i.example"],
            ['AND', ['EQ', 'HOST', 'shared.example'], ['STARTS_WITH', 'URL', "/shared/$i/"]],
            ['STARTS_WITH', 'URL', "/path/$i/"];
    }
    my $id = 0;
    return JSON::PP->new->encode([map { {rule => 'r' . ++$id, internal_dsl => [$_], %answer} } @rules]);
}

each_block(lua => <<'_EOC_');
    local funcinfo = require("jit.util").funcinfo
    local reasons = require("jit.vmdef").traceerr
    -- By the number of a trace, whether it passes through the gateway.
    local passes, translated, too_long = {}, 0, 0
    local function follow(number, func)
        passes[number] = passes[number] or (funcinfo(func).source or ""):find("/gateway/http/route.lua", 1, true) ~= nil
    end
    local function watch(what, number, _, _, reason)
        if what == "start" then
            passes[number] = nil
        elseif what == "stop" and passes[number] then
            translated = translated + 1
        elseif what == "abort" and reasons[reason] == "trace too long" then
            too_long = too_long + 1
        end
    end
    jit.attach(follow, "record")
    jit.attach(watch, "trace")
    for i = 1, 900 do
        local kind, number = i % 3, i % 300 + 1
        local path = kind == 1 and "/shared/" .. number .. "/x" or kind == 2 and "/path/" .. number .. "/x" or "/"
        local host = kind == 1 and "shared.example" or kind == 2 and "any.example" or "h" .. number .. ".example"
        local answer = assert(testing.request(path, { host = host }))
        assert(answer.status < 400, answer.status)
    end
    jit.attach(follow)
    jit.attach(watch)
    ngx.say(translated > 0 and "translated" or "not translated", ", too long: ", too_long)
_EOC_

run_tests();

__DATA__

=== TEST 1: a request that the gateway answers itself
--- rules eval: main::rules(redirect_url => 'https://elsewhere.example/', redirect_code => 302)
--- response_body
translated, too long: 0
--- no_error_log
[error]



=== TEST 2: a request that is passed on
--- rules eval: main::rules(upstream => 'one')
--- response_body
translated, too long: 0
--- no_error_log
[error]
