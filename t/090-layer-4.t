# Layer 4, where nginx has the stream Lua module: the configuration files as they are shipped, with a server beside them.

use strict;
use warnings;

use File::Path qw(make_path);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my $Conf = $ENV{GATEWAY_CONF_DIR} || '/etc/gateway';
my $Nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';
my $Port = $ENV{TEST_NGINX_PORT} || $ENV{TEST_NGINX_SERVER_PORT} || 1984;
my ($Http, $Https, $Status, $Layer4, $One, $Two) = map { $Port + $_ } 0 .. 5;

plan skip_all => 'this nginx has no stream Lua module' if `$Nginx -V 2>&1` !~ /ngx_stream_lua/;

my $Dir = tempdir(CLEANUP => 1);
my @Backends;

sub slurp {
    my $path = shift;
    open my $in, '<', $path or return '';
    local $/;
    return scalar <$in>;
}

sub spew {
    my ($path, $text) = @_;
    open my $out, '>', "$path.new" or die "cannot write $path: $!";
    print $out $text;
    close $out or die "cannot write $path: $!";
    rename "$path.new", $path or die "cannot write $path: $!";
}

sub wait_until {
    my $condition = shift;
    my $deadline = time + 5;
    while (time < $deadline) {
        return 1 if $condition->();
        sleep 0.02;
    }
    return 0;
}

# A backend that greets with its name and closes.
sub backend {
    my ($port, $name) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 5, ReuseAddr => 1)
        or die "cannot listen: $!";
    my $pid = fork;
    if (!$pid) {
        while (my $client = $listener->accept) {
            print $client "$name\n";
        }
        exit;
    }
    push @Backends, $pid;
}

sub greeting {
    my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $Layer4, Timeout => 2) or return '';
    my $line = <$client>;
    return defined $line ? $line : '';
}

sub policy {
    my $port = shift;
    spew("$Dir/policy.json", encode_json({
        stream => {tcp => {5432 => [{rule => "to-$port", upstream => 'db'}]}},
        backend_group => [{name => 'db', mode => 'tcp', backends => [{address => '127.0.0.1', port => $port, weight => 100}]}],
    }));
    chmod 0644, "$Dir/policy.json";
}

sub in_this_test {
    my $text = shift;
    $text =~ s{/etc/gateway/(listen|stream\.d)/}{$Dir/$1/}g;
    $text =~ s{/etc/gateway/}{$Conf/}g;
    $text =~ s{(?:/var)?/run/openresty}{$Dir/run}g;
    $text =~ s{/dev/stdout}{$Dir/logs/access.log}g;
    $text =~ s{/dev/stderr}{$Dir/logs/error.log}g;
    $text =~ s|^((?:http\|stream) .)$|$1\n    lua_package_path "$ENV{GATEWAY_LUA_PATH};;";|mg if $ENV{GATEWAY_LUA_PATH};
    return $text;
}

sub nginx {
    return system("$Nginx -p $Dir -e $Dir/logs/error.log -c $Dir/nginx.conf -g 'daemon on;' @_ > $Dir/logs/out 2>&1");
}

END { kill 'KILL', @Backends }

make_path("$Dir/run", "$Dir/listen", "$Dir/logs", "$Dir/stream.d/gateway");
chmod 0755, $Dir;
chmod 0777, "$Dir/run";
spew("$Dir/nginx.conf", in_this_test(slurp("$Conf/nginx.conf")));
spew("$Dir/listen/http.conf", "listen 127.0.0.1:$Http;\n");
spew("$Dir/listen/https.conf", "listen 127.0.0.1:$Https ssl;\n");
spew("$Dir/listen/status.conf", "listen 127.0.0.1:$Status;\n");
spew("$Dir/stream.d/gateway/stream.conf", slurp("$Conf/stream.conf"));
backend($One, 'one');
backend($Two, 'two');
policy($One);
$ENV{NEW_POLICY_PATH} = "$Dir/policy.json";
$ENV{GATEWAY_PORTS} = "$Http=80,$Https=443,$Layer4=5432";

is(nginx('-t'), 0, 'nginx starts without any server of layer 4') or diag(slurp("$Dir/logs/out"));
my $routes = in_this_test(slurp("$Conf/stream_routes.conf"));
spew("$Dir/stream.d/a.conf", "server {\n    listen 127.0.0.1:$Layer4;\n$routes\n}\n");
is(nginx('-t'), 0, 'and with one whose file sorts first') or diag(slurp("$Dir/logs/out"));

is(nginx(), 0, 'nginx starts') or diag(slurp("$Dir/logs/out"));
ok(wait_until(sub { greeting() eq "one\n" }), 'a connection gets to the backend of its port');
ok(wait_until(sub { slurp("$Dir/logs/access.log") =~ /"rule":"to-$One"/ }), 'the access log names the rule');
policy($Two);
ok(wait_until(sub { greeting() eq "two\n" }), 'a new policy sends it elsewhere');

my $pid = slurp("$Dir/run/nginx.pid");
chomp $pid;
kill 'QUIT', $pid;
ok(wait_until(sub { !-e "$Dir/run/nginx.pid" }), 'SIGQUIT ends it');
unlike(slurp("$Dir/logs/error.log"), qr/\[(?:error|crit|alert|emerg)\]/, 'and nothing went wrong meanwhile')
    or diag(slurp("$Dir/logs/error.log"));

done_testing();
