"""A running QEMU: its process, its QMP connection and its console under one roof.

Whatever makes further waiting pointless (a panic on the console, QEMU's exit, a reboot that nobody asked for) is an
event here; it cancels the phase that is going on, which then raises the reason.
"""

import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import anyio
from anyio.abc import Process
from qemu.qmp import QMPClient, QMPError

from pipeline.errors import InfrastructureError
from pipeline.vm.console import Console
from pipeline.vm.rules import Match


class Dead(Exception):
    """The guest cannot get where it should; the text says what was seen."""


class Overdue(Exception):
    """A phase did not end by its deadline."""


FIRMWARE_RESETS = 3
"""How often firmware or boot loader may reset the machine before a kernel runs; shim does, after adding an entry."""


class Machine:
    """One QEMU process from power on to power off. Made by `running`."""

    def __init__(self, process: Process, qmp: QMPClient, log: Path, say: Callable[[str], None], console: Path) -> None:
        self._process, self._qmp, self._log, self._say = process, qmp, log, say
        self._start = time.monotonic()
        self._phases: set[anyio.CancelScope] = set()
        self._resets_allowed = 0
        self._shutting_down = False
        self._changed = anyio.Event()
        self._console_ended = anyio.Event()
        self.dead: Exception | None = None
        """Why the guest cannot get any further: Dead, or InfrastructureError when it is QEMU's fault."""
        self.console = Console(console, self.now, self._on_fatal_line, say)

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
        """Wait for the next milestone of the console or event of the machine."""
        await self._changed.wait()

    def expect_reset(self) -> None:
        """From now on one reset is what we asked for."""
        self._resets_allowed += 1

    async def ssh_port(self) -> int:
        """The port of this machine that leads to the guest's port 22 (QEMU picked it)."""
        found = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", await self._usernet())
        if not found:
            raise InfrastructureError(f"QEMU forwards no port to the guest: {await self._usernet()}")
        return int(found[1])

    async def guest_accepted(self) -> bool:
        """Whether the guest has taken a connection that came through the forwarded port."""
        try:
            return re.search(r"TCP\[(ESTABLISHED|CLOSE_WAIT|FIN_WAIT_\d)\]", await self._usernet()) is not None
        except (QMPError, OSError):
            return False

    async def screenshot(self, path: Path) -> bool:
        """Write what the display shows as PNG; False when QEMU is gone or cannot."""
        try:
            with anyio.fail_after(10):
                await self._qmp.execute("screendump", {"filename": str(path), "format": "png"})
        except (QMPError, OSError, TimeoutError):
            return False
        return True

    async def stop(self, graceful: float = 0) -> None:
        """Press the power button and wait `graceful` seconds, then pull the plug."""
        self._shutting_down = True
        if self._process.returncode is None and graceful:
            with anyio.move_on_after(graceful), contextlib.suppress(QMPError, OSError):
                await self._qmp.execute("system_powerdown")
                await self._process.wait()
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _usernet(self) -> str:
        answer = await self._qmp.execute("human-monitor-command", {"command-line": "info usernet"})
        return str(answer)

    def _raise_if_dead(self) -> None:
        if self.dead:
            raise self.dead

    def _die(self, reason: Exception) -> None:
        if self.dead or self._shutting_down:
            return
        self.dead = reason
        self._say(f"the boot is over: {reason}")
        for scope in self._phases:
            scope.cancel()
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _on_fatal_line(self, match: Match) -> None:
        self._die(Dead(str(match)))

    async def _pump_console(self) -> None:
        if self._process.stdout:
            async for chunk in self._process.stdout:
                self.console.feed(chunk)
                self._notify()
        self._console_ended.set()

    async def _watch_exit(self) -> None:
        code = await self._process.wait()
        with anyio.move_on_after(1):  # the guest's last words explain more than the exit
            await self._console_ended.wait()
        if code == 0 and self.console.boot.kernel is not None:
            self._die(Dead("the guest switched itself off"))
        else:
            said = _last_line(self._log)
            self._die(InfrastructureError(f"QEMU ended with status {code}" + (f": {said}" if said else "")))

    async def _watch_events(self) -> None:
        with self._qmp.listener() as events:
            async for event in events:
                data: Any = event.get("data", {})
                match event["event"]:
                    case "RESET" if data.get("guest"):
                        self._on_reset()
                    case "GUEST_PANICKED":
                        with anyio.move_on_after(1):  # the panic's own line says more
                            while not self.dead:
                                await self._changed.wait()
                        self._die(Dead("the guest's kernel panicked (reported by its pvpanic device)"))
                    case "BLOCK_IO_ERROR":
                        self._die(
                            InfrastructureError(f"the disk's overlay cannot be written here: {data.get('reason')}")
                        )

    def _on_reset(self) -> None:
        had_kernel = self.console.boot.kernel is not None
        before = len(self.console.boots)
        self.console.reset()
        if self._resets_allowed:
            self._resets_allowed -= 1
            self._say("the guest reboots")
        elif had_kernel:
            self._die(Dead("boot loop: the guest rebooted, and nobody had asked it to"))
        elif before > FIRMWARE_RESETS:
            self._die(Dead(f"boot loop: firmware or boot loader reset the machine {before} times, no kernel ran"))
        self._notify()


@asynccontextmanager
async def running(
    command: list[str], qmp_socket: Path, folder: Path, say: Callable[[str], None]
) -> AsyncIterator[Machine]:
    """Start QEMU, connect to it and yield the machine; it is gone when this ends, however it ends.

    Writes `console.log` and `qemu.log` into `folder`.
    Raises InfrastructureError when QEMU does not start.
    """
    log = folder / "qemu.log"
    qmp = QMPClient("gate")
    await qmp.start_server(str(qmp_socket))
    with log.open("wb") as stderr:
        try:
            process = await anyio.open_process(command, stdin=DEVNULL, stdout=PIPE, stderr=stderr)
        except OSError as error:
            raise InfrastructureError(
                f"{command[0]} could not be started: {error.strerror}; is QEMU installed?"
            ) from error
    machine = Machine(process, qmp, log, say, folder / "console.log")
    async with anyio.create_task_group() as group:
        group.start_soon(machine._pump_console)
        group.start_soon(machine._watch_exit)
        try:
            with machine.phase(30, lambda: "QEMU did not call back over QMP within 30 s"):
                await qmp.accept()
            group.start_soon(machine._watch_events)
            yield machine
        finally:
            with anyio.CancelScope(shield=True):
                await machine.stop()
                with contextlib.suppress(QMPError, OSError, EOFError):
                    await qmp.disconnect()
                machine.console.close()
            group.cancel_scope.cancel()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
