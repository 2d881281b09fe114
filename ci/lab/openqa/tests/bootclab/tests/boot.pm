use Mojo::Base 'basetest', -signatures;
use testapi;
use guest qw(on_guest);

# The machine comes up, lets us in and reaches its target with every unit well.
sub run ($self) {
    my $deadline = time + get_var('BOOT_TIMEOUT', 300);
    my ($status, $output) = (255, '');
    until ($status != 255) {
        die "nobody answers on SSH\n" if time > $deadline;
        sleep 1;
        ($status, $output) = on_guest('systemctl is-system-running --wait');
    }
    record_info 'state', $output;
    return unless $status;
    my (undef, $failed) = on_guest('systemctl list-units --state=failed --plain --no-legend');
    die "the system is $output:\n$failed\n";
}

sub test_flags ($self) { {fatal => 1} }
1;
