package guest;
# The way into a machine whose image has nothing prepared for tests: a key pair made for this job alone, its public half
# handed over by QEMU as a systemd credential (systemd.system-credentials(7), ssh.authorized_keys.root).
use Mojo::Base 'Exporter', -signatures;
use Cwd qw(getcwd);
use MIME::Base64 qw(encode_base64);
use Mojo::File qw(path);
use testapi;

our @EXPORT_OK = qw(on_guest);

# The pool directory of the job: gone with it.
sub _key () { path(getcwd(), 'guest-key') }

# Called from main.pm, which os-autoinst runs before it starts the machine.
sub open_the_door () {
    my $key = _key();
    unlink $key, "$key.pub";
    system('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'openqa-job', '-f', $key) == 0 or die "ssh-keygen: $?\n";
    my $public = encode_base64(path("$key.pub")->slurp, '');
    set_var(QEMU_SMBIOS => "type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root=$public");
    return;
}

# Run a command as root; returns exit status (255: no connection) and output. The port is that of NICTYPE_USER_OPTIONS.
sub on_guest ($command) {
    my ($port) = get_required_var('NICTYPE_USER_OPTIONS') =~ /hostfwd=tcp:127\.0\.0\.1:(\d+)-:22/
      or die "NICTYPE_USER_OPTIONS forwards no port to the guest's port 22\n";
    my @ssh = (
        qw(ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=no),
        qw(-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=10),
        '-p', $port, '-i', _key(), 'root@127.0.0.1');
    open my $pipe, '-|', @ssh, "exec 2>&1; $command" or die "ssh: $!\n";
    my $output = do { local $/ = undef; <$pipe> } // '';
    close $pipe;
    chomp $output;
    return ($? >> 8, $output);
}
1;
