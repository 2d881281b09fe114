"""The console tells milestones and trouble, and stays bounded."""

from pathlib import Path

import pytest

from pipeline.vm.console import HEAD, TAIL, Console
from pipeline.vm.rules import Match

CAPTURE = Path(__file__).with_name("healthy-boot-and-reboot.txt")


class Watched(Console):
    def __init__(self, path: Path) -> None:
        self.fatal: list[Match] = []
        self.said: list[str] = []
        self.clock = 0.0
        super().__init__(path, lambda: self.clock, self.fatal.append, self.said.append)


@pytest.fixture
def console(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "console.log")


def test_milestones_are_the_kernel_the_init_and_the_login_prompt(console: Watched) -> None:
    for second, text in enumerate(
        [
            "BdsDxe: starting\r\n",
            "[    0.000000] Linux version 6\r\n",
            "Run /sbin/init as init process\r\n",
            "tiny login: ",
        ]
    ):
        console.clock = second
        console.feed(text.encode())
    assert (console.boot.kernel, console.boot.userspace, console.boot.up) == (1, 2, 3)


def test_lines_may_come_in_pieces_and_in_colours(console: Watched) -> None:
    for piece in (b"\x1b[0;1;31m[FAILED]\x1b[0m Kernel pa", b"nic - not \x1b[1msyncing: gone\r", b"\n"):
        console.feed(piece)
    assert [str(match) for match in console.fatal] == ["kernel panic: [FAILED] Kernel panic - not syncing: gone"]


def test_a_shell_that_waits_for_nobody_is_seen_before_its_line_ends(console: Watched) -> None:
    console.feed(b"\r\n(initramfs) ")
    assert console.fatal


def test_what_comes_after_a_reset_belongs_to_the_next_boot(console: Watched) -> None:
    console.feed(b"[    0.000000] Linux version 6\r\n")
    console.clock = 7
    console.reset()
    console.feed(b"[   50.000000] reboot: Restarting system\r\n")
    assert console.boot.kernel is None
    console.clock = 9
    console.feed(b"[    0.000000] Linux version 6\r\n")
    assert (console.boot.started, console.boot.kernel) == (7, 9)


def test_endless_output_leaves_a_bounded_file(console: Watched, tmp_path: Path) -> None:
    chunk = b"noise from a driver that will not be quiet, line after line\r\n" * 1000
    console.feed(b"the first line\r\n")
    for _ in range((HEAD + TAIL) // len(chunk) + 10):
        console.feed(chunk)
    console.feed(b"the last line\r\n")
    console.close()
    log = (tmp_path / "console.log").read_bytes()
    assert len(log) < HEAD + TAIL + 2 * len(chunk)
    assert log.startswith(b"the first line")
    assert log.endswith(b"the last line\r\n")
    assert b"bytes of console output left out" in log


def test_a_line_without_end_is_cut(console: Watched) -> None:
    console.feed(b"x" * 100_000)
    assert max(map(len, console.tail(100).splitlines())) <= 8192


def test_a_healthy_boot_and_reboot_of_a_real_bootc_system_is_clean(console: Watched) -> None:
    console.feed(CAPTURE.read_bytes())
    assert not console.fatal
    assert not console.matches
    assert console.boot.kernel is not None
    assert console.boot.up is not None


def test_the_boot_loaders_welcome_is_not_taken_for_the_systems(console: Watched) -> None:
    for second, text in enumerate(
        ["Welcome to GRUB!\r\n", "[    0.000000] Linux version 6\r\n", "Welcome to Debian!\r\n"]
    ):
        console.clock = second
        console.feed(text.encode())
    assert (console.boot.kernel, console.boot.userspace) == (1, 2)
