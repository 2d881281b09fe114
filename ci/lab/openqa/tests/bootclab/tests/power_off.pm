use Mojo::Base 'basetest', -signatures;
use testapi;
use guest qw(on_guest);

# A disk is published (PUBLISH_HDD_1) only of a machine that has shut down. The key of this job goes: where there is one
# already systemd lets in no other, and the next job has its own.
sub run ($self) {
    on_guest('rm -f /root/.ssh/authorized_keys && systemctl poweroff');
    assert_shutdown(get_var('POWEROFF_TIMEOUT', 120));
}
1;
