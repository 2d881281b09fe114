"""`python -m pipeline.vm.installer ISO --report DIR`: boots an installation medium to its installer's first screen.

Nothing is installed. The installer has come when the serial console says so (Anaconda's `Starting installer`), or when
the display shows a drawn screen that is not the boot menu's and stays. What is seen is a picture in the report.
"""

import argparse
import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from pipeline.domain import Outcome
from pipeline.errors import InfrastructureError, PipelineError
from pipeline.report.model import Result
from pipeline.vm import accelerator, firmware, qemu
from pipeline.vm.__main__ import read_spec
from pipeline.vm.disk import Base
from pipeline.vm.machine import Dead, Machine, Overdue, running
from pipeline.vm.picture import Picture, read_ppm
from pipeline.vm.progress import Progress
from pipeline.vm.spec import Spec
from pipeline.vm.verdict import Found, Waivers, judge

CHECK = "installer"
SCREEN = "installer.png"
DEADLINE = 600.0
"""Seconds with KVM until the installer shows itself."""
LOOK = 2.0
"""Seconds from one look at the display to the next."""
STAYS = 5
"""Looks at the same screen after which it stays."""
EMPTY_DISK = "20G"


class Screens:
    """What the display has shown, and whether that was the installer."""

    def __init__(self) -> None:
        self._last: Picture | None = None
        self._same = 0
        self.menu = ""
        """The first screen that stayed: the boot menu, which waits for a key or for its time to end."""

    def see(self, picture: Picture) -> bool:
        """Take the next look; whether it shows a drawn screen that stays and is not the boot menu."""
        self._same = self._same + 1 if self._last and picture.fingerprint == self._last.fingerprint else 0
        self._last = picture
        if self._same < STAYS:
            return False
        if not self.menu:
            self.menu = picture.fingerprint
        return picture.drawn and picture.fingerprint != self.menu


async def first_screen(machine: Machine, folder: Path, limit: float) -> Found:
    """Wait for the installer, and press Return when the boot menu seems to wait for it."""
    screens, pressed = Screens(), False
    try:
        with machine.phase(limit, lambda: f"no installer within {limit:.0f} s"):
            while True:
                if machine.console.installer:
                    return Found(note=f"the console says: {machine.console.installer}")
                if (picture := await _look(machine, folder)) and screens.see(picture):
                    return Found(note=f"a screen of {picture.width}x{picture.height} that stays")
                if screens.menu and not pressed:
                    pressed = True
                    await machine.press("ret")
                await anyio.sleep(LOOK)
    except (Dead, Overdue) as error:
        return Found([str(error)], "an installer's first screen", output=machine.console.tail())


async def _look(machine: Machine, folder: Path) -> Picture | None:
    file = folder / "screen.ppm"
    if not await machine.screenshot(file, "ppm"):
        return None
    try:
        return read_ppm(await anyio.Path(file).read_bytes())
    except (OSError, ValueError):
        return None  # the machine is going
    finally:
        await anyio.Path(file).unlink(missing_ok=True)


async def boot(medium: Path, spec: Spec, folder: Path, say: Progress) -> Result:
    """One life of a machine with an empty disk and the medium in its drive."""
    started, start = datetime.now(UTC), time.monotonic()
    base = await Base.open(medium)
    accel = await accelerator.choose(spec)
    flash = firmware.find(spec.arch, spec.firmware)
    with TemporaryDirectory(prefix="vm-installer-") as temporary:
        files = qemu.Files.prepare(Path(temporary), flash)
        made = await anyio.run_process(["qemu-img", "create", "-q", "-f", "qcow2", str(files.overlay), EMPTY_DISK])
        if made.returncode:
            raise InfrastructureError("qemu-img could not make an empty disk")
        command = [*qemu.command(spec, accel, flash, files, ""), *qemu.drive(base.path)]
        async with running(command, files.qmp, folder, say) as machine:
            found = await first_screen(machine, folder, DEADLINE * accel.factor)
            await machine.screenshot(folder / SCREEN)
            why = machine.excuse() if found.findings and not machine.dead else None
    if why:
        raise InfrastructureError(f"{found.findings[0]}; but {why}")
    check = judge((CHECK,), found, Waivers((), started.date()), frozenset(), duration=time.monotonic() - start)
    outcome = Outcome.GATE_FAILED if found.findings else Outcome.PASSED
    return Result(
        command="installer",
        outcome=outcome,
        reason=f"{CHECK}: {check.reason}",
        checks=[check],
        inputs={"accelerator": accel.name},
        started=started,
        duration=check.duration,
    )


def main(arguments: list[str] | None = None) -> int:
    """Boot it and write `result.json`, whatever happens; the exit code is the outcome's."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.vm.installer", description=__doc__.partition("\n")[0])
    parser.add_argument("medium", type=Path, help="an ISO image")
    parser.add_argument("--spec", type=Path, help="the machine, as JSON (pipeline.vm.spec.Spec)")
    parser.add_argument("--report", type=Path, required=True, help="where to write")
    given = parser.parse_args(arguments)
    given.report.mkdir(parents=True, exist_ok=True)
    logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)
    try:
        result = anyio.run(boot, given.medium, read_spec(given.spec), given.report, Progress())
    except PipelineError as error:
        result = Result(command="installer", outcome=error.outcome, reason=str(error))
    (given.report / "result.json").write_text(result.model_dump_json(indent=2) + "\n")
    sys.stdout.write(f"{result.outcome}: {result.reason}\n")
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
