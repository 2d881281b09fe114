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
