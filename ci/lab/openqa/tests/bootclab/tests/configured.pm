use Mojo::Base 'basetest', -signatures;
use testapi;
use guest qw(on_guest);

# This machine started from the disk that a job before it configured and published.
sub run ($self) {
    my ($status, $output) = on_guest('id -un configured');
    die "not the disk that was configured: exit status $status, $output\n" if $status || $output ne 'configured';
}
1;
