"""The serial console: kept in a bounded file, read line by line as it comes."""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.vm.rules import LONGEST_LINE, Match, Reader, Severity, Where

HEAD = TAIL = 2 << 20
"""Bytes of the beginning and of the end that are kept."""
MOST_MATCHES = 200
"""Of each boot: a noisy one leaves room for the next."""

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-9;?!]*[ -/]*[@-~]|[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])|[\x00-\x08\x0b-\x1f\x7f]"
)
_KERNEL = re.compile(r"(?:\[ +0\.\d+\] |EFI stub: |Linux version )").match
_STAMPED = re.compile(r"\[ *\d+\.\d+\] ").match
_USERSPACE = re.compile(r"Run /\S+ as init process|Welcome to |systemd\[1\]: systemd \S+ running in").search
_UP = re.compile(
    r"Reached target (multi-user\.target|Multi-User System|graphical\.target|Graphical Interface)|\blogin: ?$"
).search
_SYSTEMD = re.compile(r"systemd\[1\]: systemd (\d+)\S* running in").search
_INSTALLER = re.compile(r"Starting installer|Started .*[Aa]naconda|anaconda \d\S* for \S+ \S+ started").search
_ONLINE = re.compile(r"Reached target (network-online\.target|Network is Online)").search
_TALKATIVE = 100
"""Lines after which a kernel shows what is worth a line at all; one that is told to be quiet shows warnings alone."""
_PROMPTS = ("(initramfs) ", "Shell> ", "grub rescue>", "dracut:")
"""Shells that nobody answers; they end the wait although their line has no end."""


@dataclass
class Boot:
    """When one boot of the machine got where, in seconds since power on."""

    started: float
    kernel: float | None = None
    userspace: float | None = None
    up: float | None = None
    """A login prompt or the multi-user target."""
    stamped: int = 0
    """Lines with the kernel's time stamp."""
    matches: int = 0
    """How many of its lines broke a rule, as far as they are kept."""
    systemd: int | None = None
    """The version that systemd gave as its own; a quiet console shows none."""
    told: bool = False
    """Whether a line told that there should be a network by now."""

    @property
    def before_init(self) -> bool:
        """Whether a kernel runs that would have shown the start of its init, and has not."""
        return self.stamped >= _TALKATIVE and self.userspace is None and self.up is None


class Console:
    """Milestones, trouble and the text of one machine's serial console.

    `now` gives the seconds since power on; `fatal` is called with each match after which the boot cannot succeed;
    `say` is told each milestone.
    """

    def __init__(
        self, path: Path, now: Callable[[], float], fatal: Callable[[Match], None], say: Callable[[str], None]
    ) -> None:
        self._file = path.open("wb")
        self._now, self._fatal, self._say = now, fatal, say
        self._reader = Reader(Where.CONSOLE)
        self._partial = ""
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._lines: deque[str] = deque(maxlen=200)
        self.total = 0
        self.installer = ""
        """The line with which an installer said that it is there."""
        self.spoke = 0.0
        """When it last said anything, in seconds since power on."""
        self.boots = [Boot(0.0)]
        self.matches: list[Match] = []

    @property
    def boot(self) -> Boot:
        """The boot that is going on."""
        return self.boots[-1]

    def reset(self) -> None:
        """The machine starts over: what comes now belongs to another boot."""
        self.boots.append(Boot(self._now()))

    def feed(self, data: bytes) -> None:
        """Take what the guest wrote."""
        self.spoke = self._now()
        self._keep(data)
        *lines, self._partial = (self._partial + data.decode(errors="replace")).split("\n")
        for line in lines:
            self._read(line)
        if len(self._partial) > LONGEST_LINE:
            self._read(self._partial)
            self._partial = ""
        elif self._partial:
            self._prompt(self._partial)

    def close(self) -> None:
        """Write what was kept of the end."""
        if self._partial:
            self._read(self._partial)
            self._partial = ""
        left_out = self.total - HEAD - self._tail_size
        if left_out > 0:
            self._file.write(f"\n[... {left_out:,} bytes of console output left out ...]\n".encode())
        self._file.writelines(self._tail)
        self._tail.clear()
        self._file.close()

    def tail(self, lines: int = 30) -> str:
        """The last lines, without escape sequences."""
        return "\n".join([*self._lines, *([_plain(self._partial)] if self._partial else [])][-lines:])

    def _keep(self, data: bytes) -> None:
        room = max(0, HEAD - self.total)
        self.total += len(data)
        self._file.write(data[:room])
        self._file.flush()
        if rest := data[room:]:
            self._tail.append(rest)
            self._tail_size += len(rest)
            while self._tail_size - len(self._tail[0]) >= TAIL:
                self._tail_size -= len(self._tail.popleft())

    def _read(self, raw: str) -> None:
        line = _plain(raw)[:LONGEST_LINE]
        self._lines.append(line)
        self._milestone(line)
        self._judge(line)

    def _prompt(self, raw: str) -> None:
        """Look at a line that is not complete yet: a prompt never is."""
        line = _plain(raw)
        self._milestone(line)
        if line.startswith(_PROMPTS):
            self._judge(line)

    def _milestone(self, line: str) -> None:
        boot, now = self.boot, self._now()
        boot.stamped += _STAMPED(line) is not None
        if not self.installer and _INSTALLER(line):
            self.installer = line.strip()
        if boot.systemd is None and (version := _SYSTEMD(line)):
            boot.systemd = int(version[1])
        if boot.kernel is None and _KERNEL(line):
            boot.kernel = now
            self._say("kernel")
        elif boot.userspace is None and boot.kernel is not None and _USERSPACE(line):  # GRUB says `Welcome to GRUB!`
            boot.userspace = now
            self._say("userspace")
        elif boot.up is None and _UP(line):
            boot.up, boot.told = now, True
            self._say("login prompt or multi-user target")
        elif _ONLINE(line):
            boot.told = True

    def _judge(self, line: str) -> None:
        for match in self._reader.read(line):
            if self.boot.matches < MOST_MATCHES:
                self.boot.matches += 1
                self.matches.append(match)
            if match.rule.severity in (Severity.OURS, Severity.FATAL):
                self._fatal(match)


def _plain(line: str) -> str:
    return line if line.isprintable() else _ESCAPES.sub("", line)
