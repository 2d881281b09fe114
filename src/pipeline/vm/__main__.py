"""`python -m pipeline.vm DISK`: the gate by hand, and as the toolbox container runs it."""

import argparse
import logging
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
from pydantic import ValidationError

from pipeline.errors import InfrastructureError, UsageError
from pipeline.report.model import Result
from pipeline.vm import checks
from pipeline.vm.gate import BOOT, DISK, Gate
from pipeline.vm.spec import Arch, Bus, Firmware, Spec
from pipeline.vm.spent import FILE


def main(arguments: list[str] | None = None) -> int:
    """Run the gate, write `result.json` whatever happens, and return the exit code of its outcome."""
    options = _parser().parse_args(arguments)
    folder: Path = options.report
    folder.mkdir(parents=True, exist_ok=True)
    try:
        spec = _spec(options)
        _known(options.only, spec)
    except UsageError as error:
        result = Result(command="vm", outcome=error.outcome, reason=str(error))
    else:
        gate = Gate(options.disk, spec, folder, options.only, keep=options.keep)
        result = anyio.run(_gate, gate)
        spent = gate.stopwatch.spent()
        (folder / FILE).write_text(spent.model_dump_json(indent=2) + "\n")
        sys.stdout.write(f"{spent.line}\n")
    (folder / "result.json").write_text(result.model_dump_json(indent=2) + "\n")
    sys.stdout.write(f"{result.outcome}: {result.reason}\n")
    return result.exit_code


async def _gate(gate: Gate) -> Result:
    # The libraries report what the gate expects (a connection that breaks at reboot, say) as errors of their own.
    logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    try:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with anyio.create_task_group() as group:
                group.start_soon(_interrupt, signals, group.cancel_scope, gate)
                await gate.run()
                group.cancel_scope.cancel()
    except Exception as error:  # a bug of ours must not look like a verdict, and must leave a report
        logging.exception("the gate itself failed")
        gate.stopped = InfrastructureError(f"the gate itself failed, which is a bug: {error!r}")
    return gate.result


async def _interrupt(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope, gate: Gate) -> None:
    async for number in signals:
        gate.stopped = InfrastructureError(f"the gate was ended by {number.name} before it had a verdict")
        scope.cancel()


def read_spec(file: Path | None) -> Spec:
    """The specification of a file; without one, that of a usual machine.

    Raises UsageError, naming each key that is wrong.
    """
    try:
        return Spec.model_validate_json(file.read_bytes()) if file else Spec()
    except (OSError, ValidationError) as error:
        raise UsageError(f"{file}: {error}") from None


def _spec(options: argparse.Namespace) -> Spec:
    """The specification file, with what the command line says instead."""
    spec = read_spec(options.spec)
    if options.checks:
        options.checks = options.checks.resolve()  # its modules run there
    told = {name: getattr(options, name) for name in ("arch", "firmware", "bus", "checks", "require_kvm", "reboot")}
    return Spec.model_validate(spec.model_dump() | {name: value for name, value in told.items() if value is not None})


def _known(only: Sequence[str], spec: Spec) -> None:
    """Raise UsageError for a check that would not be made: what was not looked at has not passed."""
    names = [*(check.name for check in checks.of(spec)), BOOT, DISK, *(["user"] if spec.checks else [])]
    for name in only:
        if name.partition("/")[0] not in names:
            raise UsageError(f"there is no check {name!r} for this disk; there are {', '.join(names)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.vm",
        description="Boots a disk image in QEMU and looks for what would hurt users. The image is never written to.",
        epilog="exit status: 0 passed, 1 the image failed, 2 usage, 6 infrastructure (no verdict)",
    )
    parser.add_argument("disk", type=Path, help="a qcow2 or raw disk image")
    parser.add_argument("--report", type=Path, default=Path("vm-report"), help="where to write (default: %(default)s)")
    parser.add_argument("--spec", type=Path, help="what the image promises, as JSON (pipeline.vm.spec.Spec)")
    parser.add_argument("--arch", choices=[*Arch], help="the guest's processor")
    parser.add_argument("--firmware", choices=[*Firmware], help="what starts the boot loader")
    parser.add_argument("--bus", choices=[*Bus], help="how the disk is attached")
    parser.add_argument("--checks", type=Path, help="a directory of your own checks: executables and test_*.py")
    names = [check.name for check in (*checks.ALL, *checks.UPGRADE)]
    parser.add_argument(
        "--only", action="append", default=[], metavar="CHECK",
        help=f"ask only this, and repeat for more: {', '.join(names)}, user",
    )  # fmt: skip
    parser.add_argument("--no-reboot", dest="reboot", action="store_const", const=False, help="skip the second boot")
    parser.add_argument(
        "--keep", action="store_true", help="keep what the machine wrote (overlay, UEFI variables) in the report: kept/"
    )
    parser.add_argument(
        "--require-kvm", action="store_const", const=True, help="fail instead of emulating when KVM makes no progress"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
