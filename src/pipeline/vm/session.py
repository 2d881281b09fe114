"""One booted system under test: how to reach it, wait for it and boot it again."""

import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast
from uuid import uuid4

import anyio

from pipeline.report.model import Phase
from pipeline.vm import qemu
from pipeline.vm.accelerator import Accelerator
from pipeline.vm.guest import Guest, GuestLost, Key
from pipeline.vm.knock import Knock, Outlook
from pipeline.vm.machine import Machine, Overdue
from pipeline.vm.shell import Shell
from pipeline.vm.spec import Spec
from pipeline.vm.spent import Stopwatch, during
from pipeline.vm.ways import Refusal, Way

T = TypeVar("T")

LIVES = (Refusal.CLOSED, Refusal.LOGIN)
"""What only a guest does that has come as far as its network, also where no console shows that it is up."""
PATIENCE = 3.0
"""Seconds with KVM after which a shell that does not answer is asked again."""
SILENCE = 30.0
"""Seconds with KVM after which SSH is tried although nothing told that the guest has a network."""


class Refused(Overdue):
    """The system was up, and this way in led nowhere."""

    def __init__(self, text: str, refusal: Refusal) -> None:
        super().__init__(text)
        self.refusal = refusal


@dataclass(frozen=True)
class Refusals:
    """The ways that were tried in vain before this one: what stood in each, and how the first was refused."""

    texts: tuple[str, ...] = ()
    first: Refusal | None = None

    def and_then(self, error: Refused) -> "Refusals":
        """With one more."""
        return Refusals((*self.texts, str(error)), self.first or error.refusal)

    @property
    def text(self) -> str:
        """In one line."""
        return "; then ".join(self.texts)


@dataclass
class Session:
    """What every check is given."""

    spec: Spec
    machine: Machine
    accelerator: Accelerator
    key: Key
    folder: Path
    """Where a check may leave files for the report."""
    say: Callable[[str], None]
    way: Way = Way.KEY
    shell: Path = Path("shell")
    """QEMU's end of the virtio console, where there is one."""
    refusals: Refusals = Refusals()
    run: str = field(default_factory=lambda: uuid4().hex)
    """A name that no other run has, for what a check leaves in the guest and looks for again."""
    port: int = 0
    state: str = ""
    """What `systemctl is-system-running` said when start-up had ended, or `starting` when it did not end."""
    ready: list[float] = field(default_factory=list)
    """When SSH let us in, for each boot, in seconds since power on."""
    settled: list[float] = field(default_factory=list)
    """When start-up had ended, or had been given up, for each boot."""
    rebooted_at: float = 0.0
    """When the second boot was asked for."""
    matches_before: int = 0
    """How many bad lines of the console belong to boots of another image."""
    disk_size: int = 0
    """Bytes of the file under test."""
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    _answers: dict[str, object] = field(default_factory=dict, repr=False)
    _guest: Guest | None = field(default=None, repr=False)

    @property
    def connected(self) -> bool:
        """Whether there is a guest to ask anything."""
        return self._guest is not None and not self.machine.dead

    @property
    def guest(self) -> Guest:
        """The connection of this boot."""
        if not self._guest:
            raise GuestLost("there is no connection to the guest")
        return self._guest

    def scaled(self, seconds: float) -> float:
        """A deadline, as long as this accelerator needs it."""
        return seconds * self.accelerator.factor

    async def once(self, name: str, ask: Callable[["Session"], Awaitable[T]]) -> T:
        """The answer to a question that several checks ask."""
        if name not in self._answers:
            self._answers[name] = await ask(self)
        return cast("T", self._answers[name])

    async def connect(self, deadline: float) -> None:
        """Wait until the guest answers, at most `deadline` seconds (already scaled).

        Raises Dead, Overdue or InfrastructureError with what stood in the way; Refused when the system was up.
        """
        if self.way is Way.SHELL:
            await self._connect_shell(deadline)
        else:
            await self._connect_ssh(deadline)
        self.ready.append(self.machine.now())
        self.say("ssh ready" if self.way is not Way.SHELL else "shell ready")

    async def _connect_ssh(self, deadline: float) -> None:
        boot = self.machine.console.boot
        knock = Knock(self.key, Outlook(self.machine.guest_accepted, lambda: boot.told, self.scaled(SILENCE)))
        with self._wait(deadline, lambda: (knock.problem, knock.refusal)) as scope:
            self.port = await self.machine.port(qemu.SSH)
            async with anyio.create_task_group() as group:
                group.start_soon(self._hurry, scope)
                self._guest = await knock.until_open(self.port, await self.machine.port(qemu.IDLE))
                group.cancel_scope.cancel()

    async def _connect_shell(self, deadline: float) -> None:
        """Ask until the guest's shell answers: what was sent before a shell that had to start again is lost with it."""
        with self._wait(deadline, lambda: ("no shell answers on its virtio console", Refusal.NO_ANSWER)) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(self._hurry, scope)
                guest = Guest(await Shell.open(self.shell))
                while not self._guest:
                    with anyio.move_on_after(self.scaled(PATIENCE)):
                        await guest.run("true", within=deadline)
                        self._guest = guest
                group.cancel_scope.cancel()

    @contextlib.contextmanager
    def _wait(self, deadline: float, problem: Callable[[], tuple[str, Refusal]]) -> Iterator[anyio.CancelScope]:
        try:
            with self.machine.phase(deadline, lambda: self._stuck(deadline, problem()[0])) as scope:
                yield scope
        except Overdue as error:
            refusal = problem()[1]
            if self.machine.console.boot.up is None and refusal not in LIVES:
                raise
            raise Refused(str(error), refusal) from None

    async def settle(self, deadline: float) -> None:
        """Wait until systemd has no start-up jobs left; `state` says how that ended."""
        try:
            with self.machine.phase(deadline, lambda: "start-up does not end"):
                answer = await self.guest.run("systemctl", "is-system-running", "--wait", within=deadline + 10)
            self.state = answer.out.strip() or answer.err.strip()
        except Overdue:
            self.state = "starting"
        self.settled.append(self.machine.now())
        self.say(f"system {self.state}")

    async def reboot(self) -> None:
        """Ask the guest to boot again and wait until it has settled.

        Raises Dead, Overdue or InfrastructureError with what stood in the way.
        """
        with during(self.stopwatch.second_boot):
            await self._reboot(self.scaled(self.spec.deadlines.reboot))

    async def _reboot(self, deadline: float) -> None:
        before = len(self.machine.console.boots)
        self.rebooted_at = self.machine.now()
        self.machine.expect_reset()
        with contextlib.suppress(GuestLost):  # the connection may break before the answer comes
            await self.guest.run("systemctl", "reboot", within=self.scaled(20))
        with self.machine.phase(deadline, lambda: f"the system did not go down for reboot within {deadline:.0f} s"):
            while len(self.machine.console.boots) == before:
                await self.machine.change()
        await self.close()
        await self.connect(deadline)
        await self.settle(self.scaled(self.spec.deadlines.settle))

    def phases(self) -> list[Phase]:
        """The timeline as far as it went: one phase ends where the next begins."""
        boot, now = self.machine.console.boots[0], self.machine.now()
        ends = [
            ("firmware", boot.kernel),
            ("kernel", boot.userspace),
            ("userspace", self.ready[0] if self.ready else None),
            ("ready", self.settled[0] if self.settled else None),
            ("checks", self.rebooted_at or now),
            ("reboot", now if self.rebooted_at else None),
        ]
        phases: list[Phase] = []
        start = 0.0
        for name, end in ends:
            if end:
                phases.append(Phase(name=name, start=start, end=end))
                start = end
        return phases

    async def close(self) -> None:
        """End the connection."""
        if self._guest:
            guest, self._guest = self._guest, None
            self.stopwatch.guest += guest.worked
            await guest.close()

    async def _hurry(self, scope: anyio.CancelScope) -> None:
        """Once the system is up, SSH has not much longer."""
        while self.machine.console.boot.up is None:
            await self.machine.change()
        scope.deadline = min(scope.deadline, anyio.current_time() + self.scaled(self.spec.deadlines.ssh_after_boot))

    def _stuck(self, deadline: float, problem: str) -> str:
        """Why there is no SSH yet, in the order in which a boot proceeds."""
        boot = self.machine.console.boot
        last = self.machine.console.tail(1)
        if boot.up is not None:
            what = "an answering shell" if self.way is Way.SHELL else "a usable SSH server"
            return f"the system came up ({boot.up:.0f} s) without {what}: {problem}"
        if boot.userspace is not None:
            return f"no SSH within {deadline:.0f} s: {problem}; last on the console: {last!r}"
        if boot.kernel is not None:
            return f"the kernel started no init within {deadline:.0f} s; last on the console: {last!r}"
        if self.machine.console.total:
            return f"firmware and boot loader started no kernel within {deadline:.0f} s; last on the console: {last!r}"
        return f"nothing on the serial console within {deadline:.0f} s (is `console=ttyS0` set?), and {problem}"


async def failed_units(guest: Guest) -> list[str]:
    """Names of the units that systemd calls failed."""
    listed = await guest.out("systemctl", "list-units", "--failed", "--output=json", "--all", "--no-pager")
    return [unit["unit"] for unit in json.loads(listed or "[]")]
