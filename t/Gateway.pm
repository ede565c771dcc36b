# Everything that the test files share: an nginx with the gateway's own configuration files, backends that echo what they got, and
# a policy made from the sections of a block.
#
# The server that Test::Nginx asks is the gateway: its listener counts as port 80 of the policy, so `--- request` goes through the
# rules. Ports are the one of Test::Nginx (P) and those after it; nothing outside the server root is written.
#
#   P     the gateway, http (port 80 of the policy)       P+3 P+4 P+5  the backends one, two and three
#   P+1   the gateway, https (port 443 of the policy)     P+6          tls, a backend with TLS (HTTP/1.1 and 2)
#   P+2   the status port                                 P+7          dead, where nothing listens
#                                                         P+8          broken, which closes the connection unanswered
#                                                         P+9          grpc, a backend that speaks HTTP/2 without TLS
#                                                         P+10         full, for testing.full_backlog
#                                                         P+11         free for a block's own server
#
# Sections of a block (all optional):
#
#   rules          JSON list: the rules of ports 80 and 443
#   https_rules    JSON list: the rules of port 443, when they are to differ
#   groups         JSON list: backend groups besides the ready ones. A backend is an object, or the name of a backend above, with a
#                  weight if need be: "one", "two*3"
#   certificates   JSON object: domain or port -> name of a certificate in t/certs (without .crt); "exact+default" is the first one
#                  with the key of the second
#   policy         the whole policy as it is, instead of the four above; $PORT_ONE etc. are replaced
#   no_policy      no policy file is written
#   rules_2, https_rules_2, groups_2, certificates_2, policy_2 (up to 9)
#                  further policies, which testing.use(2) puts in force
#   worker_count   number of workers, else what the file says with workers(), else 1
#   ask_workers    a further server, by which testing.workers asks each worker for itself; its rules are those of port 80, too
#   options        Lua fields: overrides of the gateway's options
#   init_lua       Lua code in the place of the call of gateway.init
#   http_config    more text for the http level
#   config         more text (locations) for the server that Test::Nginx asks
#   lua            Lua code of the location /t, which is then what is asked for; it begins with `local testing = require "testing"`
#   before         Lua code that stands between that line and the section `lua`
#
#   probes         requests and what they are to bring, one a line, fields apart by two spaces or more:
#                      GET /path  Host: a.example  X-Any: header  => one
#                      GET https://a.example/path  => 302 https://b.example/
#                  What is expected is the beginning (up to a space) of "<backend> <method> <uri>" as the backend got it, or of
#                  "<status> <Location>" when no backend answered. A path with a scheme goes to the TLS port with that name as SNI.
#
# A file says with each_block(SECTION => TEXT, ...) the sections of those of its blocks that do not have them themselves. In the place of a text may stand a sub, which makes it from the block.
#
# Ready groups: one, two, three, tls, grpc (a backend each), both (one and two), dead, dead_and_one, broken_and_one, empty.
# Environment: GATEWAY_CONF_DIR, where the configuration files lie (/etc/gateway); GATEWAY_LUA_PATH, a Lua path that is searched before
# nginx's own.
#
# In Lua code of a block, `require "testing"` (t/lib/testing.lua) has clients and helpers.

package Gateway;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use JSON::PP;
use Test::Nginx::Socket -Base;
use Test::Nginx::Util qw($ServerPort);

our @EXPORT = (@Test::Nginx::Socket::EXPORT, 'each_block');

# Options come from each block alone: the image sets some of them for its own start.
delete @ENV{ grep { /^(?:NEW_POLICY_PATH|GATEWAY_(?:POLICY|WATCH|PORTS))/ } keys %ENV };

my $Here = dirname(abs_path(__FILE__));
my $Conf = $ENV{GATEWAY_CONF_DIR} || '/etc/gateway';

my %Offset = (
    http => 0, https => 1, status => 2, one => 3, two => 4, three => 5, tls => 6, dead => 7, broken => 8, grpc => 9,
    full => 10, free => 11, workers => 12,
);

my @ReadyGroups = (
    {name => 'one', backends => ['one']},
    {name => 'two', backends => ['two']},
    {name => 'three', backends => ['three']},
    {name => 'tls', mode => 'https', backends => ['tls']},
    {name => 'grpc', mode => 'grpc', backends => ['grpc']},
    {name => 'both', backends => ['one', 'two']},
    {name => 'dead', backends => ['dead']},
    {name => 'dead_and_one', backends => ['dead', 'one']},
    {name => 'broken_and_one', backends => ['broken', 'one']},
    {name => 'empty', backends => []},
);

my $Json = JSON::PP->new->canonical->relaxed->utf8;

# Settings that a test file need not repeat.
repeat_each(1);
no_long_string();
no_root_location();
log_level($ENV{TEST_NGINX_LOG_LEVEL} || 'info');
master_on();
workers(1);
# Longer than anything that a block waits for by itself, so that it can say what it waited for in vain.
timeout(10);

sub port_of ($) {
    my $name = shift;
    return $ServerPort + $Offset{$name};
}

# For sections that Test::Nginx itself expands: $TEST_NGINX_CERTS, $TEST_NGINX_PORT_ONE etc.
$ENV{TEST_NGINX_CERTS} = "$Here/certs";
$ENV{'TEST_NGINX_PORT_' . uc $_} = port_of($_) for keys %Offset;

sub slurp ($) {
    my $path = shift;
    open my $in, '<', $path or die "cannot open $path: $!";
    local $/;
    return scalar <$in>;
}

# "one" or "one*3" -> the object that a policy has.
sub backend ($) {
    my $short = shift;
    return $short if ref $short;
    my ($name, $weight) = $short =~ /^(\w+)(?:\*(\d+))?$/ or die "bad backend '$short'";
    die "no backend is called '$name'" if !exists $Offset{$name};
    return {address => '127.0.0.1', port => port_of($name), weight => defined $weight ? $weight + 0 : 1};
}

sub group ($) {
    my $short = shift;
    my %group = (mode => 'http', session_affinity_policy => '', session_affinity_attribute => '', %$short);
    $group{backends} = [map { backend($_) } @{$group{backends}}] if ref $group{backends} eq 'ARRAY';
    return \%group;
}

sub certificate ($) {
    my $name = shift;
    return $name if ref $name;
    my ($cert, $key) = split /\+/, $name;
    return {cert => slurp("$Here/certs/$cert.crt"), key => slurp("$Here/certs/" . ($key || $cert) . '.key')};
}

sub with_ports ($) {
    my $text = shift;
    $text =~ s/\$PORT_([A-Z]+)\b/port_of(lc $1)/eg;
    return $text;
}

sub section ($$) {
    my ($block, $name) = @_;
    my $text = $block->$name;
    return undef if !defined $text;
    my $value = eval { $Json->decode(with_ports($text)) };
    die $block->name . ": section $name: $@" if $@;
    return $value;
}

# The text of the policy that the sections with this suffix describe; undef when the block has none of them.
sub policy_text ($$) {
    my ($block, $suffix) = @_;
    my $whole = "policy$suffix";
    return with_ports($block->$whole) if defined $block->$whole;

    my %part = map { $_ => section($block, "$_$suffix") } qw(rules https_rules groups certificates);
    return undef if $suffix ne '' && !grep { defined } values %part;

    my $rules = $part{rules} || [];
    my $certificates = $part{certificates} || {};
    my %groups = map { $_->{name} => group($_) } @ReadyGroups, @{$part{groups} || []};
    return $Json->encode({
        certificate_map => {map { $_ => certificate($certificates->{$_}) } keys %$certificates},
        http => {tcp => {80 => $rules, 443 => $part{https_rules} || $rules}},
        backend_group => [map { $groups{$_} } sort keys %groups],
    });
}

sub policy_files ($) {
    my $block = shift;
    my @files;
    push @files, ['policy.json', policy_text($block, '')] if !defined $block->no_policy;
    for my $n (2 .. 9) {
        my $text = policy_text($block, "_$n");
        push @files, ["policy-$n.json", $text] if defined $text;
    }
    return @files;
}

sub backends () {
    my $text = '';
    for my $name (qw(one two three tls grpc)) {
        my $listen = port_of($name) . ($name eq 'tls' ? ' ssl' : '');
        my $more = $name eq 'tls' ? "http2 on; ssl_certificate $Here/certs/backend.crt; ssl_certificate_key $Here/certs/backend.key;"
            : $name eq 'grpc' ? 'http2 on;' : '';
        $text .= <<_EOC_;
    server {
        listen 127.0.0.1:$listen;
        $more
        access_log off;
        location / {
            content_by_lua_block { require("testing.backend").answer("$name") }
        }
    }
_EOC_
    }
    my $broken = port_of('broken');
    return $text . "    server { listen 127.0.0.1:$broken; access_log off; return 444; }\n";
}

my @Usual;

sub each_block (@) {
    push @Usual, @_;
}

sub add_usual ($) {
    my $block = shift;
    for (my $i = 0; $i < @Usual; $i += 2) {
        my ($name, $usual) = @Usual[$i, $i + 1];
        next if defined $block->$name;
        my $value = ref $usual ? $usual->($block) : $usual;
        $block->set_value($name, $value) if defined $value;
    }
}

# The location of the section `lua`, and the request that goes with it. A process of its own may still be at the first policy.
sub add_lua ($) {
    my $block = shift;
    my $lua = ($block->before || '') . $block->lua;
    my $await = defined $block->no_policy || defined $block->init_lua ? '' : 'testing.await_reader()';
    my $location = <<_EOC_;
        location = /t {
            content_by_lua_block {
                local testing = require "testing"
                $await
                $lua
            }
        }
_EOC_
    $block->set_value('config', ($block->config || '') . $location);
    $block->set_value('request', 'GET /t') if !defined $block->request;
}

# A location that makes the requests of the section `probes`, and the request and the answer that go with it.
sub add_probes ($) {
    my $block = shift;
    my $probes = $block->probes;
    my $location = <<_EOC_;
        location = /probes {
            content_by_lua_block {
                require("testing.probes").run([==[
$probes]==])
            }
        }
_EOC_
    $block->set_value('config', ($block->config || '') . $location);
    $block->set_value('request', 'GET /probes') if !defined $block->request;
    $block->set_value('response_body', "as expected\n") if !defined $block->response_body;
}

# Each worker has a listening socket of its own here, so that the kernel spreads connections over all of them.
sub worker_server () {
    my $port = port_of('workers');
    return <<_EOC_;
    server {
        listen 127.0.0.1:$port reuseport;
        access_log off;
        keepalive_requests 1000000;
        location /ask/ {
            content_by_lua_block { require("testing.workers").answer() }
        }
        include $Conf/routes.conf;
    }
_EOC_
}

sub http_config ($) {
    my $block = shift;
    my ($http, $https, $status, $each_worker) = map { port_of($_) } qw(http https status workers);
    my $options = $block->options || '';
    my $init = $block->init_lua || <<_EOC_;
require("gateway").init({
            policy_path = ngx.config.prefix() .. "html/policy.json",
            ports = "$http=80,$https=443,$each_worker=80",
            $options
        })
_EOC_
    my $more = $block->http_config || '';
    my $backends = backends();
    my $workers = defined $block->ask_workers ? worker_server() : '';
    my $lua_path = $ENV{GATEWAY_LUA_PATH} ? "$ENV{GATEWAY_LUA_PATH};" : '';
    return <<_EOC_;
    lua_package_path "$Here/lib/?.lua;$lua_path;";
    include $Conf/http.conf;

    init_by_lua_block {
        require("testing").base_port = $http
        $init
    }
    init_worker_by_lua_block {
        require("gateway").init_worker()
    }

    server {
        listen 127.0.0.1:$https ssl;
        include $Conf/tls.conf;
        include $Conf/routes.conf;
    }
    server {
        listen 127.0.0.1:$status;
        include $Conf/status.conf;
    }
$backends
$workers
$more
_EOC_
}

# A test file's number of workers for those of its blocks that name none.
my $usual_workers;

add_block_preprocessor(sub {
    my $block = shift;
    add_usual($block);
    $usual_workers = workers() if !defined $usual_workers;
    workers(defined $block->worker_count ? $block->worker_count + 0 : $usual_workers);
    add_probes($block) if defined $block->probes;
    add_lua($block) if defined $block->lua;
    my $own = $block->config || '';
    my $born = 'location = /born { content_by_lua_block { ngx.print(require("testing").born) } }';
    # The tests' own clients; those of the gateway are quiet.
    my $clients = 'lua_socket_log_errors on;';
    $block->set_value('config', "$own\n        $clients\n        $born\n        include $Conf/routes.conf;\n");
    $block->set_value('http_config', http_config($block));
    my $files = $block->user_files;
    die $block->name . ': user_files must be a list here' if defined $files && !ref $files;
    $block->set_value('user_files', [@{$files || []}, policy_files($block)]);
});

1;
