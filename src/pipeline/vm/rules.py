"""Lines of the console and the journal that mean trouble: data, with the reason to believe each one.

Every rule carries a line that it must find and one that looks alike and is innocent; the tests run them all.
Sources: the Linux and systemd sources, and what Fedora CoreOS's kola looks for on its consoles.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

LONGEST_LINE = 8 << 10
"""Characters of a line that are read: a pattern that occurs in part may cost time by their square."""


class Severity(StrEnum):
    """What a match does."""

    OURS = "ours"
    """The emulated machine is at fault: waiting ends, and there is no verdict."""
    FATAL = "fatal"
    """The boot cannot succeed any more: waiting ends at once."""
    BAD = "bad"
    """The check fails."""
    TIMING = "timing"
    """The check fails where the guest runs on the processor itself; an emulated one loses time on a busy host."""
    WARNING = "warning"
    """Reported, and nothing more."""


class Where(StrEnum):
    """Which log a rule reads."""

    BOTH = "both"
    CONSOLE = "console"
    JOURNAL = "journal"


@dataclass(frozen=True)
class Rule:
    """What to look for in one line, with the proof that it means what it says."""

    name: str
    patterns: tuple[str, ...]
    """Regular expressions, any of which may occur; those that begin with plain text are searched for fastest."""
    severity: Severity
    example: str
    innocent: str
    source: str
    where: Where = Where.BOTH
    unless: str = ""
    """A regular expression for what else in the line makes it another matter."""


@dataclass(frozen=True)
class Match:
    """A line that a rule found."""

    rule: Rule
    line: str

    def __str__(self) -> str:
        return f"{self.rule.name}: {self.line.strip()}"


_WENT_ON = r"\b(ignor(ing|ed)|skipp(ing|ed)|proceeding|continuing|falling back)\b|Unable to fix SELinux"
"""Whoever says this of a failure lived on without what failed (systemd: log_warning_errno(…, ignoring: %m))."""

_FIRMWARE_STORE = r"EFI variable|efivar|\bfwupd\b"
"""The firmware's variables are a small disk of their own, and full on many machines."""

_CORE_SIGNALS = r"(?:4/ILL|5/TRAP|6/ABRT|7/BUS|8/FPE|11/SEGV|31/SYS)"
"""What ends a program by its own mistake (signal(7), action Core); SIGQUIT and the limits are somebody's wish."""

_KOLA = "coreos-assembler mantle/kola/harness.go consoleChecks"

RULES: tuple[Rule, ...] = (
    # The machine never gets to a working system.
    Rule(
        "emulated timer starved",
        (r"IO-APIC \+ timer doesn't work",),
        Severity.OURS,
        "[    0.03] Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug and send a report.",
        "[    0.03] ..TIMER: vector=0x30 apic1=0 pin1=2 apic2=-1 pin2=-1",
        "linux arch/x86/kernel/apic/io_apic.c check_timer(); seen under TCG with a load of 15 on 2 processors",
        Where.CONSOLE,
    ),
    Rule(
        "emulated timer lost",
        (r"kthread timer wakeup didn't happen for \d+ jiffies",),
        Severity.OURS,
        "[   21.76] rcu: rcu_preempt kthread timer wakeup didn't happen for 5251 jiffies! g-1167 f0x0",
        "[    0.00] rcu: RCU calculated value of scheduler-enlistment delay is 25 jiffies.",
        "linux kernel/rcu/tree_stall.h rcu_check_gp_kthread_expired_fqs_timer(); seen under TCG, once in some hundred "
        "boots: a processor idles for ever, its timer never fires again",
        Where.CONSOLE,
    ),
    Rule(
        "kernel panic",
        ("Kernel panic - not syncing",),
        Severity.FATAL,
        "[    2.6] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
        "[    0.0] Kernel command line: root=/dev/vda2 panic=-1",
        "linux kernel/panic.c; " + _KOLA,
    ),
    Rule(
        "emergency shell",
        (
            "You are in (emergency|rescue) mode",
            "Press Enter for (emergency shell|maintenance)",
            "Starting Emergency Shell",
            "Cannot open access to console, the root account is locked",
            r"Reached target (emergency\.target|Emergency Mode|rescue\.target|Rescue Mode)",
        ),
        Severity.FATAL,
        'You are in emergency mode. After logging in, type "journalctl -xb" to view',
        "[  OK  ] Stopped Emergency Shell.",
        "systemd src/sulogin-shell, units/emergency.service; " + _KOLA,
        Where.CONSOLE,
    ),
    Rule(
        "initrd shell",
        (
            r"^\(initramfs\) ",
            r"ALERT! .* does not exist\. +Dropping to a shell",
            "dracut:/?#",
            r"Entering emergency mode\. Exit the shell to continue",
        ),
        Severity.FATAL,
        "ALERT!  UUID=5b8e3a5c does not exist.  Dropping to a shell!",
        "[    1.1] Trying to unpack rootfs image as initramfs...",
        "initramfs-tools scripts/local; dracut dracut-emergency.sh",
        Where.CONSOLE,
    ),
    Rule(
        "systemd gives up",
        (r"systemd\[1\]: Freezing execution", r"\[!!!!!!\] "),
        Severity.FATAL,
        "[!!!!!!] Failed to load SELinux policy.",
        "systemd[1]: user.slice: Freezing",
        "systemd src/core/crash-handler.c, src/core/main.c: the mark of what ends in freeze_or_exit_or_reboot()",
    ),
    Rule(
        "dracut refuses",
        ("dracut.*: (FATAL|Refusing to continue)",),
        Severity.FATAL,
        "dracut: Refusing to continue",
        "dracut-cmdline[201]: dracut-105 Continuing",
        "dracut dracut-lib.sh die(); " + _KOLA,
        Where.CONSOLE,
    ),
    Rule(
        "no OSTree deployment",
        (
            r"ostree-prepare-root: (Couldn't find specified OSTree root|OSTree target is not|No (OSTree|ostree) target|"
            r"composefs: failed to mount|Signature validation requested, but|No valid signatures found)",
        ),
        Severity.FATAL,
        "[    1.1] ostree-prepare-root[202]: ostree-prepare-root: Couldn't find specified OSTree root "
        "'/sysroot//ostree/boot.1/default/ab/0': No such file or directory",
        "ostree-prepare-root[202]: Resolved OSTree target to: /sysroot/ostree/deploy/default/deploy/ab.0",
        "ostree src/switchroot/ostree-prepare-root.c; not every initrd opens a shell then (ostree issue 2767)",
    ),
    Rule(
        "nothing to boot",
        (
            "No bootable (option or device was found|device)",
            "UEFI Interactive Shell",
            "Boot failed: not a bootable disk",
            "^Shell> ",
            "grub rescue>",
            "error: .*you need to load the kernel first",
            r"Entering rescue mode\.\.\.",
        ),
        Severity.FATAL,
        "BdsDxe: No bootable option or device was found.",
        'BdsDxe: starting Boot0001 "UEFI QEMU NVMe Ctrl" from PciRoot(0x0)/Pci(0x3,0x0)',
        "edk2 MdeModulePkg/Universal/BdsDxe; seabios src/boot.c; grub grub-core/kern/rescue_reader.c",
        Where.CONSOLE,
    ),
    Rule(
        "secure boot violation",
        (
            "BdsDxe: failed to (load|start) .*: (Access Denied|Security Violation)",
            r"Verification failed: \(0x1A\) Security Violation",
            "bad shim signature",
        ),
        Severity.FATAL,
        "Verification failed: (0x1A) Security Violation",
        "[    0.0] secureboot: Secure boot enabled",
        "shim shim.c; edk2 DxeImageVerificationLib",
        Where.CONSOLE,
    ),
    # The kernel is hurt.
    Rule(
        "kernel oops",
        (
            r"Oops: .*\[#\d+\]",
            r": [0-9a-f]{4,16} \[#\d+\]",
            "BUG: (unable to handle|kernel NULL pointer dereference)",
            "Unable to handle kernel ",
            "kernel BUG at",
            "general protection fault[,:]",
            "BUG: (sleeping function called from invalid context|scheduling while atomic|Bad (page|rss-counter))",
            "BUG: (KASAN|KFENCE|KMSAN): ",
            r"UBSAN: \S+ in ",
            "list_(add|del) corruption",
            "refcount_t: (underflow|overflow|saturated|addition on 0|decrement hit 0)",
        ),
        Severity.BAD,
        "[    9.1] Oops: 0000 [#1] PREEMPT SMP NOPTI",
        "[    0.5] oops=panic is set on the command line",
        "linux arch/x86/kernel/dumpstack.c, arch/arm64/mm/fault.c, kernel/sched/core.c, mm/page_alloc.c, "
        "mm/kasan/report.c, lib/ubsan.c, lib/list_debug.c, lib/refcount.c; " + _KOLA,
    ),
    Rule(
        "kernel warning",
        (
            r"WARNING: (CPU: \d+ PID: \d+ at|possible (circular|recursive) locking|suspicious RCU usage)",
            r"WARNING: \S+:\d+ at ",
        ),
        Severity.BAD,
        "[    3.0] WARNING: CPU: 1 PID: 77 at kernel/workqueue.c:1786 __queue_work+0x2d5/0x3b0",
        "[    3.0] WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!",
        "linux kernel/panic.c __warn(); " + _KOLA,
    ),
    Rule(
        "lockup",
        (
            "soft lockup - CPU#",
            "hard lockup - CPU#",
            "Watchdog detected hard LOCKUP",
            "BUG: workqueue lockup",
        ),
        Severity.TIMING,
        "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [kworker/0:1:21]",
        "[    0.8] NMI watchdog: Perf NMI watchdog permanently disabled",
        "linux kernel/watchdog.c, kernel/workqueue.c",
    ),
    Rule(
        "rcu stall",
        (
            "rcu: INFO: .* (detected (expedited )?stalls on|self-detected stall)",
            "kthread starved for",
        ),
        Severity.TIMING,
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "rcu: Preemptible hierarchical RCU implementation.",
        "linux kernel/rcu/tree_stall.h",
    ),
    Rule(
        "hung task",
        (r"INFO: task .+ blocked for more than \d+ seconds",),
        Severity.TIMING,
        "INFO: task jbd2/vda2-8:312 blocked for more than 120 seconds.",
        "INFO: lockdep is turned off.",
        "linux kernel/hung_task.c",
    ),
    Rule(
        "out of memory",
        (
            "invoked oom-killer",
            "Out of memory: Killed process",
            "Memory cgroup out of memory",
            r"\.\w+: Failed with result 'oom-kill'",
            r"systemd-oomd\[\d+\]: Killed ",
        ),
        Severity.BAD,
        "python3 invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0",
        "systemd[1]: Started systemd-oomd.service - Userspace Out-Of-Memory (OOM) Killer.",
        "linux mm/oom_kill.c; systemd src/core/service.c, src/oom/oomd-manager.c; " + _KOLA,
    ),
    Rule(
        "disk I/O error",
        (
            "rejecting I/O to offline device",
            r"I/O error, dev \w+, sector",
            "Buffer I/O error on dev",
        ),
        Severity.BAD,
        "blk_update_request: I/O error, dev vda, sector 2048 op 0x0:(READ) flags 0x0",
        "[    1.8] Block layer SCSI generic (bsg) driver version 0.4 loaded (major 247)",
        "linux block/blk-mq.c; drivers/scsi/scsi_lib.c; " + _KOLA,
    ),
    Rule(
        "file system error",
        (
            "EXT4-fs error",
            r"EXT4-fs \([^)]+\): (Delayed block allocation failed|error count since last fsck)",
            r"XFS \([^)]+\): (Corruption|Metadata (corruption detected|CRC error)|Internal error|"
            r"(metadata|log) I/O error|Filesystem has been shut down)",
            "BTRFS:? (error|critical)",
            "Remounting filesystem read-only",
            r"fs-verity \(.*FILE CORRUPTED",
            "device-mapper: verity: .* is corrupted",
            "SQUASHFS error: ",
            r"[eE](rofs|ROFS):? \(device .*(bogus|corrupt)",
        ),
        Severity.BAD,
        "EXT4-fs error (device vda2): ext4_lookup:1785: inode #12: comm init: deleted inode referenced: 9",
        "EXT4-fs (vda2): mounted filesystem 5b8e with ordered data mode. Quota mode: none.",
        "linux fs/ext4/super.c, fs/xfs/xfs_error.c, fs/btrfs/messages.c, fs/verity/verify.c, fs/erofs/inode.c, "
        "fs/squashfs/squashfs.h, drivers/md/dm-verity-target.c; " + _KOLA,
    ),
    Rule(
        "bonding link flap",
        (r"link status up for interface [^,]+, enabling it in [1-9]\d* ms",),
        Severity.WARNING,
        "bond0: link status up for interface eth1, enabling it in 200 ms",
        "bond0: link status up for interface eth1, enabling it in 0 ms",
        "linux drivers/net/bonding/bond_main.c; " + _KOLA,
    ),
    Rule(
        "GRUB memory corruption",
        (
            "alloc magic (is )?broken",
            "free magic (is )?broken",
        ),
        Severity.BAD,
        "alloc magic is broken at 0x7f2e1b40: 0",
        "Booting `Fedora Linux (ostree:0)'",
        "grub grub-core/kern/mm.c; " + _KOLA,
        Where.CONSOLE,
    ),
    # Programs are hurt.
    Rule(
        "segfault",
        (
            "segfault at [0-9a-f]+ ip",
            r"(received|got|caught|by|on) (signal )?SIGSEGV",
            "SIGSEGV: segmentation violation",
            "=11/SEGV",
            r"\]: unhandled (exception: |level \d )",
        ),
        Severity.BAD,
        "crashme[412]: segfault at 0 ip 000055d0c0a3513d sp 00007ffd0 error 4 in crashme[55d0c0a35000+1000]",
        "systemd[1]: Listening on systemd-coredump.socket - Process Core Dump Socket.",
        "linux arch/x86/mm/fault.c, arch/arm64/kernel/traps.c; systemd src/core/service.c; " + _KOLA,
    ),
    Rule(
        "crash",
        (
            r"Process \d+ \(.+\) of user \d+ terminated abnormally",
            f"code=killed, status={_CORE_SIGNALS}",
            r"traps: .+\[\d+\] (trap |general protection)",
            r"(ANOM_ABEND|type=1701) .*\bsig=(4|5|6|7|8|11|31)\b",
            r"crashed with signal \d+",
            r"\.\w+: Failed with result 'signal'",
        ),
        Severity.BAD,
        "systemd[1]: gdm.service: Main process exited, code=killed, status=6/ABRT",
        "systemd[1]: sleeper.service: Main process exited, code=killed, status=15/TERM",
        "systemd src/core/service.c, src/coredump/coredump.c (where no core is kept); linux arch/x86/kernel/traps.c, "
        "kernel/auditsc.c audit_core_dumps(); gnome-shell src/main.c",
    ),
    Rule(
        "core dump",
        (
            "dumped core",
            "ore dumped",
            "code=dumped",
            r"\.\w+: Failed with result 'core-dump'",
        ),
        Severity.BAD,
        "systemd-coredump[510]: Process 502 (crashme) of user 0 dumped core.",
        "systemd[1]: Listening on systemd-coredump.socket - Process Core Dump Socket.",
        "systemd src/coredump/coredump.c, src/core/service.c; " + _KOLA,
    ),
    Rule(
        "Go panic",
        (r"panic: (runtime error|assignment to|close of|send on|interface conversion|[a-z]+\.[A-Z])",),
        Severity.BAD,
        "ignition[612]: panic: runtime error: invalid memory address or nil pointer dereference",
        "systemd[1]: Condition check resulted in kdump panic: helper being skipped.",
        "go src/runtime/panic.go; " + _KOLA,
    ),
    Rule(
        "Go fatal error",
        ("fatal error: (all goroutines are asleep|concurrent map |runtime: |stack overflow)",),
        Severity.BAD,
        "podman[900]: fatal error: all goroutines are asleep - deadlock!",
        "gcc[7]: fatal error: no input files",
        "go src/runtime/panic.go, src/runtime/proc.go",
    ),
    Rule(
        "Rust panic",
        (r"thread '[^']*'( \(\d+\))? panicked at",),
        Severity.BAD,
        "bootc[612]: thread 'main' panicked at crates/lib/src/deploy.rs:71:9:",
        "greenboot[7]: the thread of a story about somebody who panicked at night",
        "rust library/std/src/panicking.rs",
    ),
    Rule(
        "Python traceback",
        (r"Traceback \(most recent call last\)",),
        Severity.WARNING,
        "cloud-init[701]: Traceback (most recent call last):",
        "cloud-init[701]: Cloud-init v. 24.4 running 'init'",
        "CPython Python/traceback.c",
    ),
    # systemd says the image is put together wrongly.
    Rule(
        "ordering cycle",
        (
            "Found ordering cycle",
            "Ordering cycle found",
            "deleted to break ordering cycle",
        ),
        Severity.BAD,
        "systemd[1]: a.service: Job b.service/start deleted to break ordering cycle starting with a.service/start",
        "systemd[1]: basic.target: Fixing conflicting jobs a.service/stop,a.service/start by deleting job",
        "systemd src/core/transaction.c; " + _KOLA,
    ),
    Rule(
        "generator failure",
        (r"/system-generators/\S+ (failed with|terminated by signal|failed due to)",),
        Severity.BAD,
        "(sd-exec-strv)[201]: /usr/lib/systemd/system-generators/zram-generator failed with exit status 1.",
        "systemd-gpt-auto-generator[202]: Failed to dissect, ignoring: no such device",
        "systemd src/shared/exec-util.c; " + _KOLA,
        unless="systemd-ssh-generator",
    ),
    Rule(
        "no address for SSH over vsock",
        (r"/system-generators/systemd-ssh-generator failed with",),
        Severity.WARNING,
        "(sd-exec-[147]: /usr/lib/systemd/system-generators/systemd-ssh-generator failed with exit status 1.",
        "systemd-ssh-generator[155]: Binding SSH to AF_UNIX socket /run/ssh-unix-local/socket.",
        "systemd src/ssh-generator/ssh-generator.c: systemd 257 calls it a failure that the machine, which is ours, "
        "has no vsock device (systemd issue 42188)",
    ),
    Rule(
        "unit restarts too often",
        (
            "Start request repeated too quickly",
            r"\.\w+: Failed with result 'start-limit-hit'",
            r"restart counter is at ([5-9]|\d\d+)\.",
        ),
        Severity.BAD,
        "systemd[1]: flap.service: Start request repeated too quickly.",
        "systemd[1]: systemd-journald.service: Scheduled restart job, restart counter is at 1.",
        "systemd src/core/unit.c, src/core/service.c",
    ),
    Rule(
        "unit timeout",
        (
            "start(-pre|-post)? operation timed out",
            "Timed out waiting for device",
            "Job .+/start timed out",
            r"\.\w+: Failed with result '(timeout|watchdog)'",
            r"\.\w+: Watchdog timeout \(limit",
        ),
        Severity.BAD,
        "systemd[1]: Timed out waiting for device dev-disk-by\\x2duuid-5b8e.device - /dev/disk/by-uuid/5b8e.",
        "systemd[1]: Expecting device dev-ttyS0.device - /dev/ttyS0...",
        "systemd src/core/job.c, src/core/service.c",
    ),
    Rule(
        "dependency failed",
        ("Dependency failed for ",),
        Severity.BAD,
        "[DEPEND] Dependency failed for local-fs.target - Local File Systems.",
        "systemd[1]: Reached target local-fs.target - Local File Systems.",
        "systemd src/core/job.c",
    ),
    Rule(
        "unit file is wrong",
        (
            "Failed to parse .+, ignoring",
            "Unknown (key|section|lvalue) .+ in section",
            "has a bad unit file setting",
        ),
        Severity.WARNING,
        "systemd[1]: /etc/systemd/system/a.service:3: Unknown key 'Exec' in section [Service], ignoring.",
        "systemd[1]: Started a.service - Unknown key store.",
        "systemd src/shared/conf-parser.c",
    ),
    Rule(
        "initrd cleanup killed",
        (r"initrd-cleanup\.service: Main process exited, code=killed, status=15/TERM",),
        Severity.BAD,
        "systemd[1]: initrd-cleanup.service: Main process exited, code=killed, status=15/TERM",
        "systemd[1]: initrd-cleanup.service: Deactivated successfully.",
        _KOLA,
    ),
    Rule(
        "Ignition fetch race",
        (r"ignition\[\d+\]: failed to fetch config: context canceled",),
        Severity.BAD,
        "ignition[512]: failed to fetch config: context canceled",
        "ignition[512]: fetch: fetch passed",
        _KOLA,
    ),
    # The image is locked where it should not be, or the other way round.
    Rule(
        "write to a read-only place",
        ("ead-only file system",),
        Severity.BAD,
        "app[300]: /usr/lib/app/cache: Read-only file system",
        "systemd[1]: Successfully made /usr/ read-only.",
        "linux include/uapi/asm-generic/errno-base.h EROFS",
        unless=_WENT_ON,
    ),
    Rule(
        "lived without",
        (rf"^(?>.*?({_WENT_ON})).*(ead-only file system|No space left on device)",),
        Severity.WARNING,
        'systemd-tmpfiles[288]: Failed to create directory or subvolume "/srv", ignoring: Read-only file system',
        "systemd-udevd[301]: Failed to resolve group 'plugdev', ignoring: Unknown group",
        "systemd src/tmpfiles/tmpfiles.c: what it ignores does not fail its unit",
    ),
    Rule(
        "disk full",
        ("No space left on device",),
        Severity.BAD,
        "systemd-journald[200]: Failed to write entry: No space left on device",
        "systemd-journald[200]: System Journal (/var/log/journal) is 8M, max 4G, 4G free.",
        "linux include/uapi/asm-generic/errno-base.h ENOSPC",
        unless=f"{_WENT_ON}|{_FIRMWARE_STORE}",
    ),
    Rule(
        "SELinux denial",
        (r"avc:  denied  \{",),
        Severity.WARNING,
        'audit: type=1400 avc:  denied  { read } for  pid=1 comm="systemd" name="x" scontext=a tcontext=b tclass=file',
        "audit: type=1403 auid=4294967295 policy loaded auid=4294967295 ses=4294967295",
        "linux security/selinux/avc.c",
    ),
)


class Reader:
    """Looks for the rules of one log in its lines."""

    def __init__(self, where: Where, rules: tuple[Rule, ...] = RULES) -> None:
        # One search for each alternative: Python finds a plain beginning many times faster than an alternation.
        self._searches = [
            (re.compile(pattern).search, re.compile(rule.unless or r"(?!)").search, rule)
            for rule in rules
            if rule.where in (Where.BOTH, where)
            for pattern in rule.patterns
        ]

    def read(self, line: str) -> list[Match]:
        """Each rule that the line breaks, once."""
        if len(line) > LONGEST_LINE:  # what is wrong is said at one end of it, and what excuses it, too
            line = f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 2 :]}"
        broken = dict.fromkeys(rule for search, unless, rule in self._searches if search(line) and not unless(line))
        return [Match(rule, line) for rule in broken]
