"""Every rule finds what it is for and leaves its innocent twin alone."""

import pytest

from pipeline.vm.rules import RULES, Reader, Rule, Severity, Where

named = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def read(rule: Rule, line: str) -> list[str]:
    where = Where.CONSOLE if rule.where is Where.BOTH else rule.where
    return [match.rule.name for match in Reader(where).read(line)]


@named
def test_a_rule_finds_its_example(rule: Rule) -> None:
    assert rule.name in read(rule, rule.example)


@named
def test_a_rule_leaves_what_only_looks_alike(rule: Rule) -> None:
    assert rule.name not in read(rule, rule.innocent)


@named
def test_no_rule_at_all_minds_the_innocent_line(rule: Rule) -> None:
    assert not read(rule, rule.innocent)


@named
def test_a_rule_says_where_it_comes_from(rule: Rule) -> None:
    assert rule.source


def test_rule_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(
    "line",
    [
        "Press Enter for emergency shell or wait 5 minutes for reboot.",
        "dracut: Refusing to continue",
        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
        "general protection fault, probably for non-canonical address: Oops: 0000 [#1] SMP",
        "WARNING: CPU: 0 PID: 1 at drivers/gpu/drm/drm_atomic.c:1",
        "sd 0:0:0:0: rejecting I/O to offline device",
        "EXT4-fs (sd): Delayed block allocation failed for inode 9 at logical offset 0 with max blocks 4 with error 5",
        "free magic is broken at 0x7f2e1b40: 0",
        "ignition[77]: failed to fetch config: context canceled",
        "initrd-cleanup.service: Main process exited, code=killed, status=15/TERM",
        "panic: runtime error: index out of range",
        "foo.service: Main process exited, code=killed, status=11/SEGV",
        "foo.service: Main process exited, code=dumped, status=6/ABRT",
        "systemd[1]: basic.target: Ordering cycle found, skipping",
        "kworker invoked oom-killer: gfp_mask=0x0",
        "/usr/lib/systemd/system-generators/foo terminated by signal ABRT.",
    ],
)
def test_all_that_kola_looks_for_is_found(line: str) -> None:
    assert [m for m in Reader(Where.CONSOLE).read(line) if m.rule.severity is not Severity.WARNING]


@pytest.mark.parametrize(
    "line",
    [
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010",
        "Internal error: Oops: 0000000096000004 [#1] SMP",
        "Internal error: synchronous external abort: 0000000096000210 [#1] SMP",
        "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP",
        "stack segment: 0000 [#1] PREEMPT SMP",
        "divide error: 0000 [#1] SMP",
        "BUG: KASAN: slab-use-after-free in foo+0x1/0x2",
        "UBSAN: array-index-out-of-bounds in fs/x.c:1:2",
        "BUG: sleeping function called from invalid context at mm/slab.h:321",
        "BUG: scheduling while atomic: swapper/0/0/0x00000100",
        "BUG: Bad page state in process x  pfn:1",
        "BUG: Bad rss-counter state mm:0 type:MM_ANONPAGES val:1",
        "list_add corruption. prev->next should be next",
        "refcount_t: underflow; use-after-free.",
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!",
        "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... }",
        "app[5]: unhandled level 2 translation fault (11) at 0x00000000, esr 0x92000006",
        "app[5]: unhandled exception: DABT (lower EL), ESR 0x0000000092000006, level 2 translation fault in app[0]",
        "systemd-oomd[1]: Killed /user.slice/x due to memory used (1) / total (1)",
        "systemd[1]: gdm.service: Watchdog timeout (limit 3min)!",
        "systemd[1]: gdm.service: Failed with result 'watchdog'.",
        "systemd[1]: Freezing execution.",
        "EXT4-fs (vda2): error count since last fsck: 3",
        "XFS (vda3): Metadata corruption detected at xfs_agf_read_verify+0x1/0x2",
        "XFS (vda3): Internal error XFS_WANT_CORRUPTED_GOTO at line 1",
        "XFS (vda3): metadata I/O error in x at daddr 0x1 len 8 error 5",
        "XFS (vda3): Filesystem has been shut down due to log error (0x2).",
        "BTRFS: error (device vda3) in btrfs_run: errno=-5 IO failure",
        "fs-verity (loop0, inode 5): FILE CORRUPTED! pos=0",
        "device-mapper: verity: 253:0: data block 1 is corrupted",
        "SQUASHFS error: Unable to read page",
        "erofs (device loop0): erofs_read_inode: bogus i_mode (0) @ nid 5",
        "bootc[7]: thread 'tokio-runtime-worker' (812) panicked at src/main.rs:1:2:",
        "error: ../../grub-core/loader/i386/linux.c:1: you need to load the kernel first.",
    ],
)
def test_what_hurts_is_found_in_the_words_of_every_machine_and_release(line: str) -> None:
    assert [m for m in Reader(Where.CONSOLE).read(line) if m.rule.severity is not Severity.WARNING]


@pytest.mark.parametrize(
    "line",
    [
        "dracut-pre-pivot[411]: Reading: Oops: file renamed by user",
        "XFS (vda3): Metadata corruption checks enabled",
        "erofs (device loop0): mounted with root inode @ nid 36.",
        "BTRFS info (device vda3): disk space caching is enabled",
        "systemd[1]: Watchdog running with a hardware timeout of 10min.",
        "device-mapper: verity: sha256 using implementation sha256-ni",
        "refcount_t: saturation checks are compiled in",
        "INFO: NMI handler (x) took too long to run: 1.5 msecs",
    ],
)
def test_what_only_sounds_like_it_is_left_alone(line: str) -> None:
    assert not [m for m in Reader(Where.CONSOLE).read(line) if m.rule.severity is not Severity.WARNING]
