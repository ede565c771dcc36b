# Common parts of the tests of the component libraries: dictionaries, a second worker, and the request.
#
# They hold for the libraries under lua/embedded and for the releases whose interface those offer; what only the former do is tested
# where `embedded` says that they are there.
#
# Sections of a block:
#
#   lua       code of the request GET /t. It knows `own` (see t/components/lib/elsewhere.lua), `elsewhere(text)`, which runs Lua text
#             in the other worker and returns what that returns as text, and `fill(dict, size)`, which fills a dictionary with values
#             of that size until it evicts one.
#   master    code that the master runs
#   worker    code that each worker runs as it starts; for `elsewhere` it may keep things in `own`
#   before    code that stands before that of `lua`
#
# A file says with each_block(SECTION => TEXT, ...) the sections of those of its blocks that do not have them themselves.
#
# Environment: GATEWAY_LUA_PATH, a Lua path that is searched before nginx's own.

package Component;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Test::Nginx::Socket -Base;

our @EXPORT = (@Test::Nginx::Socket::EXPORT, 'embedded', 'each_block');

my $Here = dirname(abs_path(__FILE__));

no_long_string();
no_root_location();
log_level('info');
master_on();
workers(2);
# Longer than anything that a block waits for by itself, so that it can say what it waited for in vain.
timeout(20);

# Are the libraries under lua/embedded the ones that this nginx loads?
sub embedded () {
    my @paths = map { s/\?\.lua$//r } split /;/, $ENV{GATEWAY_LUA_PATH} || '';
    my ($prefix) = `"$Test::Nginx::Util::NginxBinary" -V 2>&1` =~ /--prefix=(\S+)/;
    push @paths, dirname($prefix) . '/site/lualib/' if defined $prefix;
    return scalar grep { -e "$_/resty/mlcache/levels.lua" } @paths;
}

my %Usual;

sub each_block (@) {
    %Usual = (%Usual, @_);
}

add_block_preprocessor(sub {
    my $block = shift;
    for my $name (sort keys %Usual) {
        $block->set_value($name, $Usual{$name}) if !defined $block->$name;
    }
    my ($lua, $master, $worker, $before) = map { $block->$_ || q{} } qw(lua master worker before);
    my $lua_path = $ENV{GATEWAY_LUA_PATH} ? "$ENV{GATEWAY_LUA_PATH};" : '';

    $block->set_value('http_config', ($block->http_config || '') . <<_EOC_);
    lua_package_path "$Here/lib/?.lua;$lua_path;";
    lua_shared_dict cache 1m;
    lua_shared_dict misses 1m;
    lua_shared_dict locks 1m;
    lua_shared_dict events 1m;
    lua_shared_dict few_events 32k;
    lua_shared_dict elsewhere 1m;

    init_by_lua_block {
$master
    }
    init_worker_by_lua_block {
        require("elsewhere").start([==[
$worker
]==])
    }
_EOC_

    return if $lua eq '';

    $block->set_value('config', ($block->config || '') . <<_EOC_);
    location = /t {
        content_by_lua_block {
            local own, elsewhere = require("elsewhere").own, require("elsewhere").run
            require("elsewhere").await_all()
            local function fill(name, size)
                local index, evicted, ok, err = 0, false, nil, nil
                repeat
                    ok, err, evicted = ngx.shared[name]:set("filler " .. index, ("f"):rep(size))
                    assert(ok, err)
                    index = index + 1
                until evicted
            end
            do
$before
$lua
            end
        }
    }
_EOC_
    $block->set_value('request', 'GET /t') if !defined $block->request;
});

1;
