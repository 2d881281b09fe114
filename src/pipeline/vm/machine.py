"""A virtual machine: its QEMU processes (one for each boot), their QMP connection and console under one roof.

Whatever makes further waiting pointless (a panic on the console, QEMU's exit, a reboot that nobody asked for) is an
event here; it cancels the phase that is going on, which then raises the reason.

A guest that resets ends its QEMU, and the next boot gets a new one: so no output of one boot can be taken for the
next one's, and emulated firmware does not crawl through memory full of translated code (ten times as slow, measured).
"""

import contextlib
import math
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
from anyio.abc import Process
from qemu.qmp import QMPClient, QMPError

from pipeline.errors import InfrastructureError
from pipeline.vm.console import Console
from pipeline.vm.rules import Match, Severity
from pipeline.vm.starvation import Accounts, Got, excuse


class Dead(Exception):
    """The guest cannot get where it should; the text says what was seen."""


class Overdue(Exception):
    """A phase did not end by its deadline."""


FIRMWARE_RESETS = 3
"""How often firmware or boot loader may reset the machine before a kernel runs; shim does, after adding an entry."""

STANDSTILL = 30.0
"""Seconds with KVM for which a kernel that has started no init may be silent and idle."""

ACCOUNTED = 2.0
"""Seconds from one look at the kernel's accounts to the next."""


class Machine:
    """One machine from power on to power off, over all its boots. Made by `running`."""

    def __init__(
        self,
        command: list[str],
        qmp_socket: Path,
        folder: Path,
        say: Callable[[str], None],
        *,
        lenient: bool = False,
        standstill: float = math.inf,
    ) -> None:
        self._command, self._socket, self._say = command, qmp_socket, say
        self._lenient, self._standstill = lenient, standstill
        self._log = folder / "qemu.log"
        self._start = time.monotonic()
        self._accounts: Accounts | None = None
        self._process: Process | None = None
        self._qmp = QMPClient("gate")
        self._phases: set[anyio.CancelScope] = set()
        self._changed = anyio.Event()
        self._shutdown_reason = ""
        self._resets_allowed = 0
        self._stopping = False
        self.dead: Exception | None = None
        """Why the guest cannot get any further: Dead, or InfrastructureError when it is QEMU's fault."""
        self.watchers: set[Callable[[bytes], None]] = set()
        """Called with everything that the guest writes to its console."""
        self.console = Console(folder / "console.log", self.now, self._on_fatal_line, say)

    def now(self) -> float:
        """Seconds since power on."""
        return time.monotonic() - self._start

    @contextmanager
    def phase(self, seconds: float, overdue: Callable[[], str]) -> Iterator[anyio.CancelScope]:
        """Limit what happens inside to `seconds` and to the life of the guest.

        Raises Dead, InfrastructureError, or Overdue with the text that `overdue` gives at that moment.
        """
        self._raise_if_dead()
        with anyio.move_on_after(seconds) as scope:
            self._phases.add(scope)
            try:
                yield scope
            except Exception as error:
                # What the dying guest broke is explained by its death.
                if self.dead:
                    raise self.dead from error
                raise
            finally:
                self._phases.discard(scope)
        self._raise_if_dead()
        if scope.cancelled_caught:
            raise Overdue(overdue())

    async def change(self) -> None:
        """Wait for the next output of the console or event of the machine."""
        await self._changed.wait()

    async def type(self, data: bytes) -> None:
        """Send keys to the serial console."""
        if self._process and self._process.stdin:
            await self._process.stdin.send(data)

    def expect_reset(self) -> None:
        """From now on one reset is what we asked for."""
        self._resets_allowed += 1

    async def port(self, inside: int) -> int:
        """The port of this machine that leads to a port of this boot's guest (QEMU picked it)."""
        while True:
            listed = await self._usernet()
            if found := re.search(rf"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+{inside}\s", listed):
                return int(found[1])
            await self.change()  # QEMU is going or coming; if it is gone, its end is the next change

    async def guest_accepted(self) -> bool:
        """Whether the guest has taken a connection to its SSH server that has two ends.

        Of a connection that was given up here, or ended there, QEMU says something else than ESTABLISHED.
        """
        return re.search(r"TCP\[ESTABLISHED\]\s+\d+\s+\S+\s+\d+\s+\S+\s+22\s", await self._usernet()) is not None

    async def press(self, key: str) -> None:
        """Press a key of the keyboard, by QEMU's name for it."""
        with contextlib.suppress(QMPError, OSError):
            await self._qmp.execute("send-key", {"keys": [{"type": "qcode", "data": key}]})

    async def screenshot(self, path: Path, format: str = "png") -> bool:  # noqa: A002  what QEMU calls it
        """Write what the display shows, as PNG or PPM; False when QEMU is gone or cannot."""
        try:
            with anyio.fail_after(10):
                await self._qmp.execute("screendump", {"filename": str(path), "format": format})
        except (QMPError, OSError, TimeoutError):
            return False
        return True

    def lost(self) -> float:
        """The share of this boot in which the guest wanted a processor of this machine and got none."""
        return self._accounts.whole().lost if self._accounts else 0.0

    def excuse(self) -> str | None:
        """Why a deadline that is missed now says more about this machine than about the guest."""
        if not self._accounts:
            return None
        return excuse(self._accounts.whole(), self._accounts.recent(), self.now() - self.console.spoke)

    async def keep_accounts(self) -> None:
        """Note now and then what the guest gets, and end the wait for one that stands still."""
        while True:
            if self._accounts:
                self._accounts.note()
                self._notice_standstill(self._accounts.recent())
            await anyio.sleep(ACCOUNTED)

    def _notice_standstill(self, recent: Got) -> None:
        silent = self.now() - self.console.spoke
        if silent > self._standstill and self.console.boot.before_init and not recent.hungry:
            self._die(
                InfrastructureError(
                    f"the kernel has started no init, was silent for {silent:.0f} s and had nothing to do: emulated "
                    f"machines lose a timer now and then; last on the console: {self.console.tail(1)!r}"
                )
            )

    async def stop(self) -> None:
        """Pull the plug."""
        self._stopping = True
        if self._process:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()

    async def quit(self) -> None:
        """Have QEMU write down what it still holds of its files, and end."""
        self._stopping = True
        with anyio.move_on_after(10):
            with contextlib.suppress(QMPError, OSError, EOFError):
                await self._qmp.execute("quit")
            if self._process:
                await self._process.wait()

    async def launch(self) -> None:
        """Start a QEMU and wait until it calls back.

        Raises InfrastructureError when it does not.
        """
        self._shutdown_reason = ""
        await self._hang_up()
        self._qmp = QMPClient("gate")
        self._socket.unlink(missing_ok=True)
        await self._qmp.start_server(str(self._socket))
        with self._log.open("ab") as stderr:
            try:
                self._process = await anyio.open_process(
                    [*_orphan_guard(), *self._command], stdin=PIPE, stdout=PIPE, stderr=stderr
                )
            except OSError as error:
                raise InfrastructureError(f"{self._command[0]} could not be started: {error.strerror}") from error
        self._accounts = Accounts(self._process.pid)

        async def give_up_when_it_ends(process: Process) -> None:
            await process.wait()
            group.cancel_scope.cancel()

        with anyio.move_on_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(give_up_when_it_ends, self._process)
                try:
                    await self._qmp.accept()
                except (QMPError, OSError, EOFError, AssertionError):
                    await anyio.sleep_forever()  # it hung up while it was greeted: its end says why
                group.cancel_scope.cancel()
                return
        await self._read_rest()
        raise InfrastructureError(f"QEMU did not start: {_last_line(self._log) or 'it says nothing'}")

    async def _read_rest(self) -> None:
        """What a QEMU that ended at once had to show."""
        if self._process and self._process.stdout and self._process.returncode is not None:
            async for chunk in self._process.stdout:
                self.console.feed(chunk)

    async def live(self) -> None:
        """Follow the machine through its boots; returns when it is off, with the reason in `dead` if that is wrong."""
        while True:
            async with anyio.create_task_group() as group:
                group.start_soon(self._follow_events)
                code = await self._follow_process()
                group.cancel_scope.cancel()
            if not (code == 0 and self._shutdown_reason == "guest-reset" and self._may_boot_again()):
                break
            try:
                await self.launch()
            except InfrastructureError as error:
                self._die(error)
                return
            self.console.reset()
            self._notify()
        self._die(self._post_mortem(code))

    async def _follow_process(self) -> int:
        """Read the console until QEMU ends and return its status."""
        if not self._process:
            return 0
        if self._process.stdout:
            async for chunk in self._process.stdout:
                self.console.feed(chunk)
                for watcher in self.watchers:
                    watcher(chunk)
                self._notify()
        code = await self._process.wait()
        with anyio.move_on_after(1):  # the monitor's last event may be read after the console's end
            while code == 0 and not self._shutdown_reason:
                await self._changed.wait()
        return code

    async def _follow_events(self) -> None:
        async for event in self._qmp.events:
            data: Any = event.get("data", {})
            match event["event"]:
                case "SHUTDOWN":
                    self._shutdown_reason = data.get("reason", "unknown")
                    self._notify()
                case "GUEST_PANICKED":
                    with anyio.move_on_after(1):  # the panic's own line says more
                        while not self.dead:
                            await self._changed.wait()
                    self._die(Dead("the guest's kernel panicked (reported by its pvpanic device)"))
                case "BLOCK_IO_ERROR":
                    self._die(InfrastructureError(f"the disk's overlay cannot be written: {data.get('reason')}"))

    def _may_boot_again(self) -> bool:
        """Judge a reset: whether the next boot is in order."""
        had_kernel = self.console.boot.kernel is not None
        resets = len(self.console.boots)
        if self._resets_allowed or self._lenient:
            self._resets_allowed = max(0, self._resets_allowed - 1)
            self._say("the guest reboots")
        elif had_kernel:
            self._die(Dead("boot loop: the guest rebooted, and nobody had asked it to"))
        elif resets > FIRMWARE_RESETS:
            self._die(Dead(f"boot loop: firmware or boot loader reset the machine {resets} times, no kernel ran"))
        return not (self.dead or self._stopping)

    def _post_mortem(self, code: int) -> Exception:
        if code == 0 and self.console.boot.kernel is not None:
            return Dead("the guest switched itself off")
        said = _last_line(self._log)
        return InfrastructureError(f"QEMU ended with status {code}" + (f": {said}" if said else ""))

    async def _usernet(self) -> str:
        try:
            return str(await self._qmp.execute("human-monitor-command", {"command-line": "info usernet"}))
        except (QMPError, OSError):
            return ""

    def _on_fatal_line(self, match: Match) -> None:
        if match.rule.severity is Severity.OURS:
            self._die(InfrastructureError(f"the emulated machine failed: {match}"))
        elif not self._lenient:
            self._die(Dead(str(match)))

    def _raise_if_dead(self) -> None:
        if self.dead:
            raise self.dead

    def _die(self, reason: Exception) -> None:
        if self.dead or self._stopping:
            return
        self.dead = reason
        self._say(f"the boot is over: {reason}")
        for scope in self._phases:
            scope.cancel()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def dispose(self) -> None:
        """Switch off and let go of everything."""
        await self.stop()
        await self._hang_up()
        self.console.close()

    async def _hang_up(self) -> None:
        with contextlib.suppress(QMPError, OSError, EOFError):
            await self._qmp.disconnect()


@asynccontextmanager
async def running(
    command: list[str],
    qmp_socket: Path,
    folder: Path,
    say: Callable[[str], None],
    *,
    lenient: bool = False,
    standstill: float = math.inf,
) -> AsyncIterator[Machine]:
    """Start QEMU, connect to it and yield the machine; it is gone when this ends, however it ends.

    Writes `console.log` and `qemu.log` into `folder`. A `lenient` machine may reboot and fail as it likes. One whose
    kernel is silent and idle for `standstill` seconds before it starts an init is given up as the emulator's fault.
    Raises InfrastructureError when QEMU does not start.
    """
    machine = Machine(command, qmp_socket, folder, say, lenient=lenient, standstill=standstill)
    try:
        await machine.launch()
        async with anyio.create_task_group() as group:
            group.start_soon(machine.live)
            group.start_soon(machine.keep_accounts)
            try:
                yield machine
            finally:
                with anyio.CancelScope(shield=True):
                    await machine.stop()
                group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await machine.dispose()


def _orphan_guard() -> list[str]:
    """What makes the kernel end QEMU when the harness itself is killed (setpriv(1), of util-linux)."""
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "KILL", "--"] if program else []


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
