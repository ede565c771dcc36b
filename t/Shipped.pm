# nginx with the configuration files as they are shipped. Only ports, paths and log files are replaced by ones of the test, which has a
# folder of its own for all of them.
#
# Environment: GATEWAY_CONF_DIR, GATEWAY_LUA_PATH, as for Gateway.pm.

package Shipped;

use strict;
use warnings;

use Exporter qw(import);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw($Conf $Dir $Nginx $Port $Http $Https $Status slurp spew wait_until here replace_policy prepare nginx signal ends_well);

our $Conf = $ENV{GATEWAY_CONF_DIR} || '/etc/gateway';
our $Dir = tempdir(CLEANUP => 1);
our $Nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';
our $Port = $ENV{TEST_NGINX_PORT} || $ENV{TEST_NGINX_SERVER_PORT} || 1984;
our ($Http, $Https, $Status) = ($Port, $Port + 1, $Port + 2);

# '' for a file that is not there.
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

# The text of a configuration file with the places of this test.
sub here {
    my $text = shift;
    $text =~ s{/etc/gateway/(listen/|stream\.d/\*)}{$Dir/$1}g;
    $text =~ s{/etc/gateway/}{$Conf/}g;
    $text =~ s{(?:/var)?/run/openresty}{$Dir/run}g;
    $text =~ s{/dev/stdout}{$Dir/logs/access.log}g;
    $text =~ s{/dev/stderr}{$Dir/logs/error.log}g;
    $text =~ s|^((?:http\|stream) .)$|$1\n    lua_package_path "$ENV{GATEWAY_LUA_PATH};;";|mg if $ENV{GATEWAY_LUA_PATH};
    return $text;
}

sub replace_policy {
    my $policy = shift;
    spew("$Dir/policy.json", encode_json($policy));
    chmod 0644, "$Dir/policy.json";
}

# Puts everything in its place. ports: listener => port of the policy, besides those of http and https
sub prepare {
    my %ports = ($Http => 80, $Https => 443, @_);
    make_path("$Dir/run", "$Dir/listen", "$Dir/logs", "$Dir/stream.d");
    chmod 0755, $Dir;
    chmod 0777, "$Dir/run";
    spew("$Dir/nginx.conf", here(slurp("$Conf/nginx.conf")));
    spew("$Dir/listen/http.conf", "listen 127.0.0.1:$Http;\n");
    spew("$Dir/listen/https.conf", "listen 127.0.0.1:$Https ssl;\n");
    spew("$Dir/listen/status.conf", "listen 127.0.0.1:$Status;\n");
    $ENV{NEW_POLICY_PATH} = "$Dir/policy.json";
    $ENV{GATEWAY_PORTS} = join ',', map { "$_=$ports{$_}" } sort keys %ports;
}

sub nginx {
    return system("$Nginx -p $Dir -e $Dir/logs/error.log -c $Dir/nginx.conf -g 'daemon on;' @_ > $Dir/logs/out 2>&1");
}

sub signal {
    my $name = shift;
    my $pid = slurp("$Dir/run/nginx.pid");
    chomp $pid;
    kill $name, $pid;
}

# The last checks: nginx ends, and its log has no error but those that the pattern is for.
sub ends_well {
    my $expected = shift // qr/(?!)/;
    signal('QUIT');
    ok(wait_until(sub { !-e "$Dir/run/nginx.pid" }), 'SIGQUIT ends it');
    my @wrong = grep { /\[(?:error|crit|alert|emerg)\]/ && !/$expected/ } split /^/, slurp("$Dir/logs/error.log");
    is("@wrong", '', 'and nothing went wrong meanwhile');
    done_testing();
}

1;
