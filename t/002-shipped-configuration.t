# The configuration files as they are shipped: nginx starts with them, serves, writes its logs, and ends on SIGQUIT.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use HTTP::Tiny;
use JSON::PP;
use Shipped;
use Test::More;
use Time::HiRes qw(sleep);

my $Client = HTTP::Tiny->new(timeout => 5, max_redirect => 0);

sub get {
    my ($port, $path) = @_;
    return $Client->get("http://127.0.0.1:$port$path");
}

sub last_entry {
    my @lines = split /\n/, slurp("$Dir/logs/access.log");
    return @lines ? decode_json($lines[-1]) : {};
}

prepare();
replace_policy({http => {tcp => {80 => [{rule => 'shipped', redirect_url => '/there', internal_dsl => [['EQ', 'URL', '/here']]}]}}});

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

signal('HUP');
ok(wait_until(sub { sleep 0.1; get($Http, '/here')->{status} == 302 }), 'after a reload requests are served as before');
ends_well(qr/NEW_POLICY_PATH/);
