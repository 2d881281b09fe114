"""Text that others write takes time by its length and not by its square, as long as it may be."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.policy.containerfile import bases
from pipeline.report.boot import measured_by_systemd
from pipeline.upload.put import _said
from pipeline.vm.checks.console import without_numbers
from pipeline.vm.console import Console
from pipeline.vm.relay import bytes_told, fetched
from pipeline.vm.rules import Reader, Where

LENGTH = 1 << 20


class _SlowError(Exception):
    """It would go on for minutes."""


def _end(*_: object) -> None:
    raise _SlowError


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """Ten seconds of the processor for what takes one."""
    before = signal.signal(signal.SIGVTALRM, _end)
    signal.setitimer(signal.ITIMER_VIRTUAL, 10)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


def _journal(line: str) -> object:
    return Reader(Where.JOURNAL).read(line)


def _doubled(name: str) -> str:
    return f"ARG {name}=xx\n" + f"ARG {name}=${name}${name}\n" * 60 + f"FROM r.example.org/a:${name}\n"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (_journal, "ignored "),
        (_journal, "traps: a[1] "),
        (_journal, "Process 1 (a) of user 1 "),
        (measured_by_systemd, "Startup finished in " + "1" * LENGTH),
        (measured_by_systemd, "Startup finished in " + "1s " * LENGTH),
        (without_numbers, "a"),
        (fetched, "GET /v2" + "/blobs/x" * (LENGTH // 8)),
        (bytes_told, "1"),
        (lambda text: bases(f"FROM x\nRUN {text}", {}), "true && \\\n"),
        (_said, "<Message>"),
        (_said, "<"),
        (lambda text: bases(f"FROM x\nRUN {text}", {}), "--mount="),
        (lambda text: bases(f"FROM {text}", {}), "${w:-"),
        (lambda text: bases(text, {}), _doubled("A")),
    ],
)
def test_a_text_without_end_is_read_in_a_moment(read: Callable[[str], object], text: str) -> None:
    read(text * max(1, LENGTH // len(text)))


def test_a_console_that_only_returns_is_read_in_a_moment(tmp_path: Path) -> None:
    console = Console(tmp_path / "console.log", lambda: 0.0, lambda match: None, lambda what: None)
    for _ in range(8):
        console.feed(b"\r" * (LENGTH // 8))
    console.feed(b"\r\n\rlogin: \r\n")
    assert console.tail().splitlines()[-1] == "login: "
    console.close()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.service[123]: at 0xab12, face", "a.service[#]: at #, face"),
        ("12ab face 0xface c0ffee", "# face #xface #"),
        ("in 3.5 s", "in #.# s"),
    ],
)
def test_lines_of_a_kind_differ_in_numbers_only(line: str, said: str) -> None:
    assert without_numbers(line) == said


def test_what_is_filled_in_without_end_is_no_image() -> None:
    assert not bases(_doubled("A"), {}).all
    assert bases("ARG B=10\nFROM r.example.org/a:${A:-${B}}\nFROM r.example.org/b:${B}", {}).all == (
        "r.example.org/b:10",
    )


@pytest.mark.parametrize(
    ("read", "text", "told"),
    [
        (bytes_told, f"3 blobs of {'9' * 5000} bytes came in", None),
        (
            measured_by_systemd,
            "Startup finished in 1.2.3s (kernel) + 4.5s (userspace)",
            {"kernel": 2.3, "userspace": 4.5},
        ),
    ],
)
def test_what_is_no_number_is_no_error(read: Callable[[str], object], text: str, told: object) -> None:
    assert read(text) == told


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f'app[300]: {{"k":"{"x" * 9000}"}}: Read-only file system', True),
        (f"systemd-tmpfiles[1]: No space left on device: {'x' * 9000}, ignoring", False),
    ],
)
def test_of_a_line_without_end_both_ends_are_read(line: str, found: bool) -> None:
    assert bool(_journal(line)) is found
