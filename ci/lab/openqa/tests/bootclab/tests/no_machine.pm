use Mojo::Base 'basetest', -signatures;
use Mojo::File qw(path);
use testapi;

my $LOST = "[   21.76] rcu: rcu_preempt kthread timer wakeup didn't happen for 5251 jiffies! g-1167 f0x0";

# SLEEP seconds, then the result that RESULT asks for: passed, softfailed or failed, or a failure with the console of a
# machine whose emulator lost a timer (timer). The first job of a BUILD and TEST may end otherwise (FIRST): in one of
# these ways, or the worker or the web UI goes away under it.
sub run ($self) {
    my $result = get_var('RESULT', 'passed');
    if (get_var('FIRST') && _is_first()) {
        $result = get_var('FIRST') if get_var('FIRST') =~ /^(failed|timer)$/;
        path('/run/openqa', 'end-' . get_var('FIRST'))->touch if get_var('FIRST') =~ /^(worker|webui)$/;
        _follow_the_worker() if get_var('FIRST') eq 'worker';
    }
    sleep get_var('SLEEP', 0);
    record_info 'no machine', "asked to end as $result";
    record_soft_failure 'asked to' if $result eq 'softfailed';
    path('serial0')->spew("$LOST\n") if $result eq 'timer';
    die "asked to fail\n" if $result =~ /^(failed|timer)$/;
}

sub _is_first () {
    my $mark = path('/run/openqa', 'ran-' . (join '-', get_var('BUILD'), get_var('TEST')) =~ s/[^\w.-]/_/gr);
    return 0 if -e $mark;
    return $mark->touch;
}

# A killed worker leaves its job's processes behind.
sub _follow_the_worker () {
    sleep 2;
    kill KILL => getppid;
    exit 1;
}

1;
