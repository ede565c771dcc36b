# Loaded before a test file (perl -MBuilder::Marks). It tells what Test::Nginx itself does not: where in the output a block begins,
# as comment lines
#
#     # builder: block NUMBER at SECONDS TITLE
#     # builder: end at SECONDS
#
# and it keeps the error log of a block with a failed check as BUILDER_LOGS/NUMBER.log before the next block's server removes it.
# It gives up a file whose nginx does not run after some seconds of Test::Nginx's tries, which would go on for minutes.
# With BUILDER_FILTERED the file holds a part of its blocks only, so the number of checks that it announces is left open.
package Builder::Marks;

use strict;
use warnings;

use File::Copy ();
use Test::Builder ();
use Time::HiRes ();

my $process = $$;
my $started = Time::HiRes::time();
my ($number, $seen, $waited) = (0, 0, 0);
my $patience = 10; # seconds

# Before Test::Base and the file itself, which may announce its plan while it is compiled.
if ($ENV{BUILDER_FILTERED}) {
    no warnings 'redefine';
    my $plan = \&Test::Builder::plan;
    *Test::Builder::plan = sub {
        my ($self, $what, @rest) = @_;
        return $self->$plan(defined $what && $what eq 'tests' ? 'no_plan' : ($what, @rest));
    };
}

sub mark {
    my ($text) = @_;
    Test::Builder->new->note(sprintf 'builder: %s', $text);
}

sub keep {
    my @checks = Test::Builder->new->summary;
    my $failed = grep { !$_ } @checks[$seen .. $#checks];
    $seen = @checks;
    File::Copy::copy($Test::Nginx::Util::ErrLogFile, "$ENV{BUILDER_LOGS}/$number.log") if $failed && $number;
}

sub begin {
    my ($block) = @_;
    keep();
    $waited = 0;
    $number++;
    mark(sprintf 'block %d at %.3f %s', $number, Time::HiRes::time() - $started, $block->name);
}

sub nginx_runs {
    open my $in, '<', $Test::Nginx::Util::PidFile or return 0;
    my $pid = <$in>;
    return defined $pid && $pid =~ /^(\d+)/ && kill 0, $1;
}

# Test::Nginx sleeps between its tries to start nginx and to reach it.
sub sleep_between_tries (;@) {
    my ($seconds) = @_;
    $waited = nginx_runs() ? 0 : $waited + $seconds;
    Test::More::BAIL_OUT("nginx does not run after $patience s of tries") if $waited > $patience;
    return Time::HiRes::sleep($seconds);
}

# The file is compiled, so what it uses is there, and nothing of it has run yet.
INIT {
    if (defined &Test::Nginx::Util::add_block_preprocessor) {
        no warnings 'redefine';
        Test::Nginx::Util::add_block_preprocessor(\&begin);
        *Test::Nginx::Util::sleep = \&sleep_between_tries;
    }
}

# After the one of Test::Nginx, which ends the server: its log is whole. Children that a block forks end here, too. A file that died
# or gave up (exit code 255; what failed checks make of it comes later) did so in its last block, which has no end then.
END {
    if ($$ == $process && $number) {
        my $died = $?;
        local $?;
        keep();
        mark(sprintf 'end at %.3f', Time::HiRes::time() - $started) unless $died;
    }
}

1;
