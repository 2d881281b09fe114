use Mojo::Base 'basetest', -signatures;
use testapi;
use guest qw(on_guest);

# What users of any system rely on: title, command, and what its output must be.
my @EXPECTED = (
    ['os-release names the system', '. /etc/os-release && echo "$ID $VERSION_ID"', qr/^[a-z]+ \S+$/],
    ['localhost has an address', 'getent ahosts localhost', qr/^(127\.0\.0\.1|::1)\b/],
    ['/tmp is for everybody', 'stat -c %a /tmp', qr/^1777$/],
    ['a user can be added', 'useradd probe && id -un probe && userdel probe', qr/^probe$/],
    ['the journal records', 'logger probe-$$ && journalctl --sync && journalctl -b -t root -o cat -g probe-', qr/^probe-/],
    ['no unit has failed', 'systemctl list-units --state=failed --plain --no-legend', qr/^$/],
);

# What only the sample OS has: its scenarios set SAMPLE_OS.
my @SAMPLE = (['the greeting is right', 'cat /usr/share/sample-os/greeting', qr/^hello$/]);

sub run ($self) {
    my @regressions;
    for my $expected (@EXPECTED, get_var('SAMPLE_OS') ? @SAMPLE : ()) {
        my ($title, $command, $pattern) = @$expected;
        my ($status, $output) = on_guest($command);
        my $well = $status == 0 && $output =~ $pattern;
        record_info $title, "$command\nexit status $status\n$output", result => $well ? 'ok' : 'fail';
        push @regressions, "$title: exit status $status, found '$output', expected $pattern" unless $well;
    }
    my (undef, $now) = on_guest('date +%s');
    push @regressions, "the clock is off: found $now, expected " . time if abs($now - time) > 300;
    die join("\n", @regressions) . "\n" if @regressions;
}
1;
