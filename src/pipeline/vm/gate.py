"""The gate from power on to the verdict; reads top to bottom as the machine lives."""

import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from pipeline.domain import Outcome
from pipeline.errors import InfrastructureError, PipelineError
from pipeline.report.model import Check, CheckStatus, Phase, Result
from pipeline.report.wording import status_text
from pipeline.vm import accelerator, checks, evidence, firmware, qemu, relay
from pipeline.vm.accelerator import Accelerator
from pipeline.vm.checks.base import VmCheck
from pipeline.vm.disk import Base, overlay, sha256
from pipeline.vm.guest import GuestLost, Key
from pipeline.vm.machine import STANDSTILL, Dead, Machine, Overdue, running
from pipeline.vm.progress import Progress
from pipeline.vm.session import Refusals, Refused, Session
from pipeline.vm.spec import DISK_SHA256, WAITED, Spec
from pipeline.vm.spent import Stopwatch, during
from pipeline.vm.starvation import steal_share
from pipeline.vm.user_checks import UserChecks
from pipeline.vm.verdict import NOT_RUN, Found, Skipped, Waivers, judge
from pipeline.vm.ways import Refusal, Way, next_way

BOOT, DISK = "boot", "disk"
"""What the gate finds out itself, besides the checks of `checks.ALL`."""

KEPT = "kept"
"""The folder of the report with the overlay and the firmware's variables, when they are to be kept."""

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading a guest's answer may end with: its programs are the image's, and may say anything."""


class _AnotherWay(Exception):
    """The system is up and does not let us in by this way; there is another."""

    def __init__(self, way: Way, error: Refused) -> None:
        super().__init__(str(error))
        self.way, self.error = way, error


class Gate:
    """One run of the gate over one disk. `result` can be asked at any time, also after an exception."""

    def __init__(self, image: Path, spec: Spec, folder: Path, only: Sequence[str] = (), *, keep: bool = False) -> None:
        """`only` names the checks to ask; none means all. `keep` leaves what the machine wrote in the report."""
        self._image, self._spec, self._folder = image, spec, folder
        self._kept = (folder / KEPT).resolve() if keep else None
        self._asked = checks.of(spec, only)
        self._asks_users = not only or any(name.startswith("user") for name in only)
        self._say = Progress()
        self._started, self._start = datetime.now(UTC), time.monotonic()
        self._inputs: dict[str, str] = {}
        self._user_checks: UserChecks | None = None
        self._checks: list[Check] = []
        self._timeline: list[Phase] = []
        self._waivers = Waivers(spec.waivers, self._started.date())
        self.stopwatch = Stopwatch()
        self.stopped: PipelineError | None = InfrastructureError("the gate was interrupted before it had a verdict")

    async def run(self) -> None:
        """Boot and look; once more from the start when the infrastructure failed the first time."""
        try:
            base, accel = await self._prepare()
            async with anyio.create_task_group() as group:
                group.start_soon(self._hash, base)  # a big disk takes as long as a boot
                self.stopped = await self._attempts(base, accel)
            if not self.stopped:
                await self._compare(base)
        except PipelineError as error:
            self.stopped = error

    async def _prepare(self) -> tuple[Base, Accelerator]:
        if self._spec.checks and self._asks_users:
            self._user_checks = UserChecks.find(self._spec.checks)
        base = await Base.open(self._image)
        accel = await accelerator.choose(self._spec)
        self._inputs |= {
            "disk": self._image.name,
            "disk_size": str(base.size),
            "accelerator": accel.name,
            "accelerator_why": accel.why,
            "qemu": await qemu.version(self._spec.arch),
            "machine": f"{self._spec.arch}, {self._spec.firmware}, {self._spec.bus}, {self._spec.cpus} cpus, "
            f"{self._spec.memory_mib} MiB",
        }
        self._say(f"{accel.name}: {accel.why}")
        return base, accel

    async def _hash(self, base: Base) -> None:
        self._inputs[DISK_SHA256] = await sha256(base.path)

    async def _attempts(self, base: Base, accel: Accelerator) -> PipelineError | None:
        """Returns what kept the gate from a verdict."""
        way, refusals, discarded = self._spec.ways[0], Refusals(), False
        while True:
            try:
                await self._attempt(base, accel, way, refusals, again=discarded)
            except _AnotherWay as refused:
                self._set_aside(f"way-{way}", f"{way.text}: {refused}; next is {refused.way.text}")
                way, refusals = refused.way, refusals.and_then(refused.error)
            except InfrastructureError as error:
                if discarded:
                    return error
                discarded = True
                self._set_attempt_aside(error)
            except PipelineError as error:
                return error
            else:
                return None

    async def _attempt(self, base: Base, accel: Accelerator, way: Way, refusals: Refusals, *, again: bool) -> None:
        """One life of the machine; what stands still `again` is the image.

        Raises InfrastructureError when what happened says nothing about the image, and _AnotherWay when it is to be
        booted again for another way in.
        """
        spec, key, failure = self._spec, Key.generate(), None
        flash = firmware.find(spec.arch, spec.firmware)
        with TemporaryDirectory(prefix="vm-gate-") as temporary:
            files = qemu.Files.prepare(Path(temporary), flash, self._kept)
            await overlay(base, files.overlay)
            served = relay.guestfwd(spec.upgrade.layout, self._folder / relay.LOG) if spec.upgrade else None
            command = qemu.command(spec, accel, flash, files, key.public, [served] if served else [], way)
            standstill = math.inf if accel.is_kvm or again else accel.factor * STANDSTILL
            async with self._running(command, files, standstill) as machine:
                session = Session(spec, machine, accel, key, self._folder, self._say, way, files.shell, refusals)
                session.disk_size, session.stopwatch = base.size, self.stopwatch
                try:
                    await self._examine(session)
                except (InfrastructureError, _AnotherWay) as error:
                    failure = error
                self._timeline += session.phases()
                if self._kept:
                    await self._keep(session, files)
                await machine.stop()  # an overlay that is thrown away needs no orderly shutdown
                await session.close()
        if failure:
            raise failure

    async def _keep(self, session: Session, files: qemu.Files) -> None:
        """Have everything written to the files that stay, and say where they are."""
        if session.connected:
            with suppress(GuestLost):
                await session.guest.run("sync", within=session.scaled(30))
        await session.machine.quit()
        self._inputs["kept_overlay"] = f"{files.overlay}, over {self._image.resolve()}"
        if files.variables:
            self._inputs["kept_variables"] = str(files.variables)
        self._say(f"kept what the machine wrote: {files.overlay}")

    @asynccontextmanager
    async def _running(self, command: list[str], files: qemu.Files, standstill: float) -> AsyncIterator[Machine]:
        with during(self.stopwatch.machine):
            async with running(command, files.qmp, self._folder, self._say, standstill=standstill) as machine:
                yield machine

    async def _examine(self, session: Session) -> None:
        """Everything that is asked of the living machine."""
        if await self._boots(session):
            await evidence.of_boot(session)
            for check in self._asked:
                await self._ask(check, session)
            await self._ask_users(session)
        else:
            for check in self._asked:
                self._record(check, Skipped(NOT_RUN, "the system did not boot"))
        if not all(check.lets_through for check in self._checks):
            await evidence.of_failure(session)

    async def _boots(self, session: Session) -> bool:
        deadlines = self._spec.deadlines
        try:
            with during(self.stopwatch.guest):
                await session.connect(session.scaled(deadlines.boot))
                await session.settle(session.scaled(deadlines.settle))
        except (Dead, Overdue, GuestLost) as error:
            self._try_another_way(session, error)
            found = blame(error, session, "a system that lets root in by the key that it was given")
        else:
            found = Found(note=f"in after {session.ready[0]:.1f} s, {session.state} after {session.settled[0]:.1f} s")
        self._inputs["way_in"] = session.way.text + (f" ({session.refusals.text})" if session.refusals.texts else "")
        self._inputs[WAITED] = f"{max(session.machine.lost(), await _stolen_from(session)):.2f}"
        judged = self._record(BOOT, found, session.machine.now())
        return session.connected and judged.status is not CheckStatus.FAILED

    def _try_another_way(self, session: Session, error: Exception) -> None:
        """Raise _AnotherWay when the system was up, and its systemd may let us in otherwise."""
        slow = session.machine.excuse() is not None
        if isinstance(error, Refused) and not (slow and error.refusal is Refusal.NO_ANSWER):
            systemd = session.machine.console.boot.systemd
            if way := next_way(self._spec.ways, session.way, error.refusal, systemd):
                raise _AnotherWay(way, error)

    async def _ask(self, check: VmCheck, session: Session) -> None:
        if session.machine.dead:
            self._record(check, Skipped(NOT_RUN, str(session.machine.dead)))
            return
        start = time.monotonic()
        limit = session.scaled(check.timeout or self._spec.deadlines.check)
        found: Found | Skipped
        try:
            with session.machine.phase(limit, lambda: f"no answer within {limit:.0f} s"):
                found = await check.look(session)
        except (Dead, Overdue, GuestLost) as error:
            found = blame(error, session, "a guest that lives and answers")
        except UNREADABLE as error:
            found = Found([f"what the guest answered cannot be read: {error!r}"[:500]], "an answer that makes sense")
        self._record(check, found, time.monotonic() - start)

    async def _ask_users(self, session: Session) -> None:
        """The repository's own checks, last: what they leave behind disturbs nobody."""
        if not self._user_checks:
            return
        if not session.connected:
            self._record("user", Skipped(NOT_RUN, "the guest did not live that long"))
            return
        try:
            with session.machine.phase(math.inf, str):
                async for result in self._user_checks.run(session):
                    self._record(result.name, result.found, result.duration)
        except (Dead, GuestLost) as error:
            self._record("user", Found([str(error)], "a guest that lives and answers"))

    def _record(self, check: VmCheck | str, found: Found | Skipped, duration: float = 0.0) -> Check:
        names, required = (check.names, check.required) if isinstance(check, VmCheck) else ((check,), True)
        result = judge(names, found, self._waivers, self._spec.allowed_skips, required=required, duration=duration)
        self._checks.append(result)
        self._say(f"check {result.name}: {status_text(result)}" + (f" ({result.reason})" if result.reason else ""))
        return result

    def _set_attempt_aside(self, error: InfrastructureError) -> None:
        """What the first attempt left is evidence, too."""
        self._set_aside("attempt-1", f"infrastructure: {error}; booting a second time", error)
        self._inputs["first_attempt"] = str(error)

    def _set_aside(self, name: str, why: str, error: PipelineError | None = None) -> None:
        """Keep what this boot left in a folder of its own, and start with a clean sheet."""
        self._say(why)
        aside = self._folder / name
        aside.mkdir()
        for file in [file for file in self._folder.iterdir() if file.is_file() or file.name == KEPT]:
            file.rename(aside / file.name)
        if error:
            (aside / "result.json").write_text(self._result(error).model_dump_json(indent=2) + "\n")
        self._checks, self._timeline = [], []
        self._waivers = Waivers(self._spec.waivers, self._started.date())

    async def _compare(self, base: Base) -> None:
        """The artifact is what was hashed: from before that to the end nobody wrote to it."""
        if await base.untouched():
            self._record(DISK, Found(note=f"untouched, sha256 {self._inputs[DISK_SHA256]}"))
        else:
            self._record(DISK, Found(["the file was written to while it was tested"], "writes to the overlay alone"))

    @property
    def result(self) -> Result:
        """What is known so far."""
        return self._result(self.stopped)

    def _result(self, stopped: PipelineError | None) -> Result:
        outcome, reason = verdict(self._checks, stopped)
        if first := self._inputs.get("first_attempt"):
            reason += f"\na first attempt was discarded: {first}"
        return Result(
            command="vm",
            outcome=outcome,
            reason=reason,
            image=self._spec.image,
            digest=self._spec.digest,
            checks=self._checks,
            timeline=self._timeline,
            inputs=self._inputs | self._waivers.inputs(),
            started=self._started,
            duration=time.monotonic() - self._start,
        )


async def _stolen_from(session: Session) -> float:
    """What the guest itself knows of time that it was not given."""
    if not session.connected:
        return 0.0
    with suppress(GuestLost):
        return steal_share(await session.guest.out("cat", "/proc/stat", within=session.scaled(20)))
    return 0.0


def blame(error: Dead | Overdue | GuestLost, session: Session, expected: str) -> Found:
    """Whose fault it is that the guest did not answer.

    Raises InfrastructureError when this machine did not let it.
    """
    why = None if isinstance(error, Dead) else session.machine.excuse()
    if why:
        raise InfrastructureError(f"{error}; but {why}")
    before = f"; before: {session.refusals.text}" if isinstance(error, Refused) and session.refusals.texts else ""
    return Found([f"{error}{before}"], expected, output=session.machine.console.tail())


def verdict(results: Sequence[Check], stopped: PipelineError | None) -> tuple[Outcome, str]:
    """The outcome and its reason; the first line names the check, what was found and what was expected."""
    if stopped:
        return stopped.outcome, str(stopped)
    stopping = [check for check in results if not check.lets_through]
    if not stopping:
        waived = [check.name for check in results if check.status is CheckStatus.WAIVED]
        total = sum(check.status is CheckStatus.PASSED for check in results)
        advice = [check.name for check in results if check.status is CheckStatus.FAILED]
        return Outcome.PASSED, (
            f"{total} checks passed"
            + (f", waived: {', '.join(waived)}" if waived else "")
            + (f", advice from: {', '.join(advice)}" if advice else "")
        )
    # A check that could not run is the consequence of one that failed.
    first, *others = sorted(stopping, key=lambda check: check.status is CheckStatus.SKIPPED)
    failed = [check.name for check in others if check.status is CheckStatus.FAILED]
    skipped = [check.name for check in others if check.status is not CheckStatus.FAILED]
    lines = [f"{first.name}: {first.reason}"]
    lines += [f"also failed: {', '.join(failed)}"] if failed else []
    lines += [f"without a result: {', '.join(skipped)}"] if skipped else []
    return Outcome.GATE_FAILED, "\n".join(lines)
