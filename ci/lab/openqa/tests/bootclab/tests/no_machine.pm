use Mojo::Base 'basetest', -signatures;
use Mojo::File qw(path);
use testapi;

# SLEEP seconds, then the result that RESULT asks for: passed, softfailed or failed. The first job of a BUILD and TEST
# may end otherwise (FIRST): it fails, or the worker or the web UI goes away under it.
sub run ($self) {
    my $result = get_var('RESULT', 'passed');
    if (get_var('FIRST') && _is_first()) {
        $result = 'failed' if get_var('FIRST') eq 'failed';
        path('/run/openqa', 'end-' . get_var('FIRST'))->touch if get_var('FIRST') =~ /^(worker|webui)$/;
        _follow_the_worker() if get_var('FIRST') eq 'worker';
    }
    sleep get_var('SLEEP', 0);
    record_info 'no machine', "asked to end as $result";
    record_soft_failure 'asked to' if $result eq 'softfailed';
    die "asked to fail\n" if $result eq 'failed';
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
