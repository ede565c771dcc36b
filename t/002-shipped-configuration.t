# The configuration files as they are shipped: nginx starts with them, serves, writes its logs, and ends on SIGQUIT. Only ports, paths and
# log files are replaced by ones of this test.

use strict;
use warnings;

use File::Path qw(make_path);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

my $Conf = $ENV{GATEWAY_CONF_DIR} || '/etc/gateway';
my $Nginx = $ENV{TEST_NGINX_BINARY} || 'nginx';
my $Port = $ENV{TEST_NGINX_PORT} || $ENV{TEST_NGINX_SERVER_PORT} || 1984;
my ($Http, $Https, $Status) = ($Port, $Port + 1, $Port + 2);

my $Dir = tempdir(CLEANUP => 1);
my $Client = HTTP::Tiny->new(timeout => 5, max_redirect => 0);

sub slurp {
    my $path = shift;
    open my $in, '<', $path or return '';
    local $/;
    return scalar <$in>;
}

sub spew {
    my ($path, $text) = @_;
    open my $out, '>', $path or die "cannot write $path: $!";
    print $out $text;
    close $out or die "cannot write $path: $!";
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

sub get {
    my ($port, $path) = @_;
    return $Client->get("http://127.0.0.1:$port$path");
}

sub prepare {
    make_path("$Dir/run", "$Dir/listen", "$Dir/logs");
    chmod 0755, $Dir;
    chmod 0777, "$Dir/run";
    my $main = slurp("$Conf/nginx.conf");
    $main =~ s{/etc/gateway/listen/}{$Dir/listen/}g;
    $main =~ s{/etc/gateway/}{$Conf/}g;
    $main =~ s{(?:/var)?/run/openresty}{$Dir/run}g;
    $main =~ s{/dev/stdout}{$Dir/logs/access.log}g;
    $main =~ s{/dev/stderr}{$Dir/logs/error.log}g;
    $main =~ s|^(http .)$|$1\n    lua_package_path "$ENV{GATEWAY_LUA_PATH};;";|m if $ENV{GATEWAY_LUA_PATH};
    spew("$Dir/nginx.conf", $main);
    spew("$Dir/listen/http.conf", "listen 127.0.0.1:$Http;\n");
    spew("$Dir/listen/https.conf", "listen 127.0.0.1:$Https ssl;\n");
    spew("$Dir/listen/status.conf", "listen 127.0.0.1:$Status;\n");
    spew("$Dir/policy.json", encode_json({http => {tcp => {80 => [
        {rule => 'shipped', redirect_url => '/there', internal_dsl => [['EQ', 'URL', '/here']]},
    ]}}}));
    chmod 0644, "$Dir/policy.json";
}

sub nginx {
    return system("$Nginx -p $Dir -e $Dir/logs/error.log -c $Dir/nginx.conf -g 'daemon on;' @_ > $Dir/logs/out 2>&1");
}

sub last_entry {
    my @lines = split /\n/, slurp("$Dir/logs/access.log");
    return @lines ? decode_json($lines[-1]) : {};
}

prepare();
$ENV{NEW_POLICY_PATH} = "$Dir/policy.json";
$ENV{GATEWAY_PORTS} = "$Http=80,$Https=443";

is(nginx('-t'), 0, 'nginx finds no fault with the configuration') or diag(slurp("$Dir/logs/out"));
unlike(slurp("$Conf/nginx.conf"), qr/^\s*user\s/m, 'no user is named: nginx is started as the one that it is to be');
{
    local $ENV{NEW_POLICY_PATH} = '';
    isnt(nginx(), 0, 'without the path of a policy nginx does not start');
    like(slurp("$Dir/logs/error.log"), qr/NEW_POLICY_PATH is not set/, 'and the reason is said');
}

is(nginx(), 0, 'nginx starts') or diag(slurp("$Dir/logs/out"));
ok(wait_until(sub { get($Status, '/status')->{status} == 200 }), 'the status port answers');
ok(wait_until(sub { (decode_json(get($Status, '/status')->{content})->{policy} // {})->{rules} }),
    'the policy of the environment is in force');
like(get($Status, '/metrics')->{content}, qr/^gateway_policy_rules 1$/m, 'the metrics say so too');

my $answer = get($Http, '/here');
is($answer->{status}, 302, 'a request is served by its rule');
is($answer->{headers}{location}, '/there', 'where it leads');
is($answer->{headers}{server}, 'nginx', 'no version is told');
ok(wait_until(sub { (last_entry()->{uri} || '') eq '/here' }), 'the access log has a line of JSON');
is(last_entry()->{rule}, 'shipped', 'which names the rule');

is(get($Http, '/nowhere')->{status}, 404, 'a request without a rule is not');
ok(wait_until(sub { (last_entry()->{uri} || '') eq '/nowhere' }), 'the access log has that one too');
is(last_entry()->{reason}, 'no rule matches', 'and names the reason');
like(slurp("$Dir/logs/error.log"), qr/\[warn\].*no answer for port 80, host 127\.0\.0\.1, path \/nowhere: no rule matches/,
    'as does the error log');

my $pid = slurp("$Dir/run/nginx.pid");
chomp $pid;
kill 'HUP', $pid;
ok(wait_until(sub { sleep 0.1; get($Http, '/here')->{status} == 302 }), 'after a reload requests are served as before');
kill 'QUIT', $pid;
ok(wait_until(sub { !-e "$Dir/run/nginx.pid" }), 'SIGQUIT ends it');
unlike(slurp("$Dir/logs/error.log"), qr/\[(?:error|crit|alert|emerg)\](?!.*NEW_POLICY_PATH)/, 'and nothing went wrong meanwhile')
    or diag(slurp("$Dir/logs/error.log"));

done_testing();
