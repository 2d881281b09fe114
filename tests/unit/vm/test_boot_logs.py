"""What the rules make of the lines that real systems boot with: a table of verdicts.

The kinds of lines are those that people show in public threads about Fedora, CentOS, Debian, Universal Blue and bootc
systems; names and numbers are made up. A new kind is a new line here.
"""

# ruff: noqa: E501  a log line is as long as it is

import re
from pathlib import Path

import pytest

from pipeline.vm.rules import Reader, Severity, Where

STOPS, WARNS, NOTHING = "stops", "warns", "nothing"

VERDICTS: tuple[tuple[str, str], ...] = (
    # Crashes, whether a core is kept or not, and also of a service that restarts itself.
    (STOPS, "systemd-coredump[1806]: Process 1740 (shell) of user 42 terminated abnormally with signal 11/SEGV, processing..."),
    (STOPS, "systemd-coredump[588]: Process 937 (gdm) of user 0 terminated abnormally without generating a coredump."),
    (STOPS, "systemd-coredump[588]: [LNK] Process 937 (gdm) of user 0 dumped core."),
    (STOPS, "systemd[1]: flaky.service: Main process exited, code=killed, status=6/ABRT"),
    (STOPS, "systemd[1]: flaky.service: Main process exited, code=killed, status=5/TRAP"),
    (STOPS, "systemd[1]: flaky.service: Main process exited, code=killed, status=4/ILL"),
    (STOPS, "systemd[1]: flaky.service: Main process exited, code=killed, status=7/BUS"),
    (STOPS, "systemd[1]: flaky.service: Main process exited, code=killed, status=8/FPE"),
    (STOPS, "systemd[1]: flaky.service: Main process exited, code=killed, status=31/SYS"),
    (STOPS, "systemd[1]: flaky.service: Main process exited, code=dumped, status=6/ABRT"),
    (STOPS, "systemd[1]: flaky.service: Control process exited, code=killed, status=11/SEGV"),
    (STOPS, "systemd[1321]: app.service: Failed with result 'signal'."),
    (STOPS, "systemd[1]: flaky.service: Failed with result 'core-dump'."),
    (STOPS, 'audit[740]: ANOM_ABEND auid=42 uid=42 gid=42 ses=1 pid=740 comm="shell" exe="/usr/bin/shell" sig=11 res=1'),
    (STOPS, 'kernel: audit: type=1701 audit(1.2:7): auid=42 uid=42 gid=42 ses=1 pid=740 comm="shell" sig=5 res=1'),
    (STOPS, "gnome-shell[1740]: GNOME Shell crashed with signal 11"),
    (STOPS, "kernel: traps: gdm[3037] trap int3 ip:7f00 sp:7ffd error:0 in libglib-2.0.so.0[7f00+a0000]"),
    (STOPS, "kernel: traps: app[412] trap invalid opcode ip:55d sp:7ff error:0 in app[55d+1000]"),
    (STOPS, "kernel: traps: Web Content[902] general protection fault ip:55d sp:7ff error:0 in libxul.so[55d+1000]"),
    (STOPS, "kernel: daemon[77]: segfault at 18 ip 00007f3a sp 00007ffc error 4 in libc.so.6[7f3a+155000] likely on CPU 0"),
    (STOPS, "collector[5]: [signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4a5b]"),
    (STOPS, "runtime[9]: the process got SIGSEGV at pc=0x00007f, tid=10"),
    # Ends that somebody asked for.
    (NOTHING, "systemd[1]: helper.service: Main process exited, code=killed, status=15/TERM"),
    (NOTHING, "systemd[1]: helper.service: Main process exited, code=killed, status=9/KILL"),
    (NOTHING, "systemd[1]: helper.service: Main process exited, code=exited, status=143/n/a"),
    (NOTHING, 'audit[1]: ANOM_ABEND auid=0 uid=0 gid=0 ses=1 pid=9 comm="x" exe="/usr/bin/x" sig=3 res=1'),
    (NOTHING, "systemd[1]: systemd-oomd.service: Scheduled restart job, restart counter is at 2."),
    (STOPS, "systemd[1]: flaky.service: Scheduled restart job, restart counter is at 12."),
    (STOPS, "systemd[1]: flaky.service: Start request repeated too quickly."),
    # Words of crashes in the mouth of somebody who is well.
    (NOTHING, "rsyslogd[9]: imjournal: signal SIGSEGV handler installed"),
    (NOTHING, "man-db[99]: panic(9) - the Kernel panic strings of the manual, section 9"),
    (NOTHING, "kernel: Command line: oops=panic panic_on_oops=1 crashkernel=1G-4G:192M"),
    (NOTHING, "kernel: traps: Trap vector 0 is set up"),
    (NOTHING, "abrtd[70]: Init complete, entering main loop; waiting for what crashed"),
    (NOTHING, "systemd[1]: Listening on systemd-coredump.socket - Process Core Dump Socket."),
    (NOTHING, "NetworkManager[800]: <warn> dispatcher: Failed with result 'timeout' is no text of ours"),
    (STOPS, "systemd[1]: slow.service: Failed with result 'timeout'."),
    (STOPS, "systemd[1]: dev-disk-by\\x2dlabel-data.device: Job dev-disk-by\\x2dlabel-data.device/start timed out."),
    # The initrd on its way into the deployment.
    (STOPS, "ostree-prepare-root[675]: ostree-prepare-root: composefs: failed to mount: No such file or directory"),
    (STOPS, "ostree-prepare-root[559]: ostree-prepare-root: Signature validation requested, but no valid digest in commit"),
    (STOPS, "ostree-prepare-root[260]: ostree-prepare-root: No ostree target found"),
    (NOTHING, "ostree-prepare-root[559]: sysroot.readonly configuration value: 1 (fs writable: 1)"),
    (NOTHING, "ostree-prepare-root[559]: composefs: No image present"),
    # The same errno: who says it, and whether it went on.
    (WARNS, 'systemd-tmpfiles[288]: Failed to create directory or subvolume "/srv", ignoring: Read-only file system'),
    (WARNS, "systemd-tmpfiles[570]: Unable to fix SELinux security context of /srv: Read-only file system"),
    (WARNS, "systemd-journald[40]: Failed to open runtime journal, ignoring: No space left on device"),
    (STOPS, "app[300]: open(/usr/lib/app/cache): Read-only file system"),
    (STOPS, 'systemd-tmpfiles[288]: Failed to create directory or subvolume "/opt/x": Read-only file system'),
    (STOPS, "systemd-journald[40]: Failed to write entry to system journal: No space left on device"),
    (NOTHING, "fwupd[1]: 01:02 FuEngine failed to record HSI attributes: No space left on device"),
    (NOTHING, "systemd[1]: Failed to write 'LoaderSystemToken' EFI variable: No space left on device"),
    (NOTHING, "systemd-remount-fs[1549]: mount: /: fsconfig() failed: overlay: No changes allowed in reconfigure."),
    # What every other machine says.
    (NOTHING, "systemd-udevd[54]: /usr/lib/udev/rules.d/70-u2f.rules:301 Failed to resolve group 'plugdev', ignoring: Unknown group"),
    (NOTHING, "kernel: ima: No TPM chip found, activating TPM-bypass!"),
    (NOTHING, "kernel: ACPI BIOS Error (bug): Could not resolve symbol [^S0.GFX0.DD02], AE_NOT_FOUND (20250807/psargs-332)"),
    (NOTHING, "kernel: NMI watchdog: Perf NMI watchdog permanently disabled"),
    (NOTHING, "kernel: watchdog: watchdog0: watchdog did not stop!"),
    (NOTHING, "kernel: kvm: support for 'kvm_intel' disabled by bios"),
    (NOTHING, "kernel: Bluetooth: hci0: Direct firmware load failed with error -2"),
    (NOTHING, "kernel: systemd[1]: bpf-restrict-fs: BPF LSM hook not enabled in the kernel, BPF LSM not supported."),
    (NOTHING, "kernel: i8042: No controller found"),
    (NOTHING, "kernel: EXT4-fs (vda3): orphan cleanup on readonly fs"),
    (NOTHING, "kernel: XFS (vda4): Ending clean mount"),
    (NOTHING, "tailscaled[700]: logtail: dial \"log.example.org:443\" failed: connect: network is unreachable"),
    (NOTHING, "podman[900]: Error: container 1a2b: Error: image not found"),
    (NOTHING, "chronyd[611]: System clock wrong by 1.234567 seconds"),
    (NOTHING, "gdm-password][1201]: gkr-pam: unable to locate daemon control file"),
    (NOTHING, "dbus-broker-launch[503]: Ignoring duplicate name 'org.freedesktop.FileManager1' in service file"),
    (WARNS, 'audit[812]: AVC avc:  denied  { getattr } for  pid=812 comm="x" path="/y" scontext=a tcontext=b tclass=file'),
    (WARNS, "systemd[1]: /usr/lib/systemd/system/a.service:9: Unknown key 'ProtectHostnam' in section [Service], ignoring."),
    (WARNS, "cloud-init[701]: Traceback (most recent call last):"),
)  # fmt: skip

CAPTURE = Path(__file__).with_name("healthy-boot-and-reboot.txt")


def verdict(line: str, where: Where) -> str:
    severities = {match.rule.severity for match in Reader(where).read(line)}
    if severities - {Severity.WARNING}:
        return STOPS
    return WARNS if severities else NOTHING


@pytest.mark.parametrize("where", [Where.JOURNAL, Where.CONSOLE])
@pytest.mark.parametrize(("expected", "line"), VERDICTS, ids=lambda text: re.sub(r"\W+", "-", text)[:60])
def test_a_line_of_a_real_boot_gets_its_verdict(expected: str, line: str, where: Where) -> None:
    assert verdict(line, where) == expected


def test_a_whole_healthy_boot_stops_nothing() -> None:
    lines = CAPTURE.read_text(errors="replace").splitlines()
    assert not [line for line in lines if verdict(line, Where.CONSOLE) == STOPS]
