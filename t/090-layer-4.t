# Layer 4, where nginx has the stream Lua module: the configuration files as they are shipped, with a server beside them.

use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use IO::Socket::INET;
use Shipped;
use Test::More;

my ($Layer4, $One, $Two) = map { $Port + $_ } 3 .. 5;
my @Backends;

plan skip_all => 'this nginx has no stream Lua module' if `$Nginx -V 2>&1` !~ /ngx_stream_lua/;

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

sub use_backend {
    my $port = shift;
    replace_policy({
        stream => {tcp => {5432 => [{rule => "to-$port", upstream => 'db'}]}},
        backend_group => [{name => 'db', mode => 'tcp', backends => [{address => '127.0.0.1', port => $port, weight => 100}]}],
    });
}

END { kill 'KILL', @Backends }

prepare($Layer4 => 5432);
backend($One, 'one');
backend($Two, 'two');
use_backend($One);

is(nginx('-t'), 0, 'nginx starts without any server of layer 4') or diag(slurp("$Dir/logs/out"));
my $routes = here(slurp("$Conf/stream_routes.conf"));
spew("$Dir/stream.d/a.conf", "server {\n    listen 127.0.0.1:$Layer4;\n$routes\n}\n");
is(nginx('-t'), 0, 'and with one whose file sorts first') or diag(slurp("$Dir/logs/out"));

is(nginx(), 0, 'nginx starts') or diag(slurp("$Dir/logs/out"));
ok(wait_until(sub { greeting() eq "one\n" }), 'a connection gets to the backend of its port');
ok(wait_until(sub { slurp("$Dir/logs/access.log") =~ /"rule":"to-$One"/ }), 'the access log names the rule');
use_backend($Two);
ok(wait_until(sub { greeting() eq "two\n" }), 'a new policy sends it elsewhere');

ends_well();
