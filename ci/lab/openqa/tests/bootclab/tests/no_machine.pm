use Mojo::Base 'basetest', -signatures;
use testapi;

# SLEEP seconds, then the result that RESULT asks for: passed, softfailed or failed.
sub run ($self) {
    my $result = get_var('RESULT', 'passed');
    sleep get_var('SLEEP', 0);
    record_info 'no machine', "asked to end as $result";
    record_soft_failure 'asked to' if $result eq 'softfailed';
    die "asked to fail\n" if $result eq 'failed';
}
1;
