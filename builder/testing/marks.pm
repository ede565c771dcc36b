# Loaded before a test file (perl -MBuilder::Marks). It tells what Test::Nginx itself does not: where in the output a block begins,
# as comment lines
#
#     # builder: block NUMBER at SECONDS TITLE
#     # builder: end at SECONDS
#
# and it keeps the error log of a block with a failed check as BUILDER_LOGS/NUMBER.log before the next block's server removes it.
# With BUILDER_FILTERED the file holds a part of its blocks only, so the number of checks that it announces is left open.
package Builder::Marks;

use strict;
use warnings;

use File::Copy ();
use Test::Builder ();
use Time::HiRes ();

my $process = $$;
my $started = Time::HiRes::time();
my ($number, $seen) = (0, 0);

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
    $number++;
    mark(sprintf 'block %d at %.3f %s', $number, Time::HiRes::time() - $started, $block->name);
}

# The file is compiled, so what it uses is there, and nothing of it has run yet.
INIT {
    Test::Nginx::Util::add_block_preprocessor(\&begin) if defined &Test::Nginx::Util::add_block_preprocessor;
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
