use Mojo::Base 'basetest', -signatures;
use testapi;
use guest qw(on_guest);

# What the jobs find that start from this one's published disk (configured.pm).
sub run ($self) {
    my ($status, $output) = on_guest('useradd configured && id -un configured && sync');
    die "the machine cannot be configured: exit status $status, $output\n" if $status;
    record_info 'configured', $output;
}

sub test_flags ($self) { {fatal => 1} }
1;
