"""KVM when it really makes progress, emulation otherwise.

/dev/kvm proves nothing: in a Dagger container the node always exists, and a paravirtual KVM opens, creates the guest
and then crawls. So a 512-byte boot sector counts down in both, at the same time, and who is done first runs the guest:
a processor needs a third of what emulation needs (0.5 s), and a machine with much else to do slows both alike.
"""

import json
import os
import platform
import struct
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from tempfile import TemporaryDirectory

import anyio

from pipeline.errors import InfrastructureError
from pipeline.vm.spec import Arch, Spec

ROUNDS = 200_000_000
LIMIT = 10.0
"""Seconds after which neither is waited for any longer."""
_DONE = 0x10


@dataclass(frozen=True)
class Accelerator:
    """What runs the guest's instructions, and why."""

    name: str
    """`kvm` or `tcg`."""
    why: str
    factor: float
    """What every deadline is multiplied by."""

    @property
    def is_kvm(self) -> bool:
        """Whether the guest runs on the processor itself."""
        return self.name == "kvm"


async def choose(spec: Spec, device: Path = Path("/dev/kvm")) -> Accelerator:
    """Measure and decide.

    Raises InfrastructureError when `spec.require_kvm` and KVM is not there or makes no progress.
    """
    usable, why = await _kvm(spec.arch, device)
    if usable:
        return Accelerator("kvm", why, 1)
    if spec.require_kvm:
        raise InfrastructureError(f"KVM was required and is not usable: {why}")
    return Accelerator("tcg", f"{why}; emulating, every deadline is {spec.tcg_factor:g} times as long", spec.tcg_factor)


async def _kvm(arch: Arch, device: Path) -> tuple[bool, str]:
    if platform.machine() != arch:
        return False, f"a {arch} guest on a {platform.machine()} host"
    if not os.access(device, os.R_OK | os.W_OK):
        return False, f"{device} is not there or may not be opened"
    if arch is not Arch.X86_64:
        return True, f"{device} opens (progress is measured on x86_64 only)"
    return judge_race(await _race(ROUNDS, LIMIT), ROUNDS)


@dataclass(frozen=True)
class Countdown:
    """How far one of them came: seconds until it was done, None when it was not; and what QEMU complained of."""

    seconds: float | None
    complaint: str = ""


def judge_race(ran: Mapping[str, Countdown], rounds: int) -> tuple[bool, str]:
    """Whether KVM won, and the measurement in words; whoever is missing was not done when the race was over."""
    kvm, tcg = ran.get("kvm", Countdown(None)), ran.get("tcg", Countdown(None))
    if kvm.seconds is not None:
        return True, f"{rounds:,} iterations took {kvm.seconds:.2f} s in KVM, and emulation was not done by then"
    said = f" ({kvm.complaint})" if kvm.complaint else ""
    if tcg.seconds is not None:
        slow = f"{rounds:,} iterations took {tcg.seconds:.2f} s in emulation, and KVM was not done by then{said}"
        return False, f"/dev/kvm opens, and is no help: {slow}"
    return False, f"KVM did not do {rounds:,} iterations{said}"


async def _race(rounds: int, limit: float) -> dict[str, Countdown]:
    """Both at once, until one of them is done, KVM has given up, or `limit` seconds have passed."""
    ran: dict[str, Countdown] = {}
    with anyio.move_on_after(limit), TemporaryDirectory(prefix="kvm-probe-") as folder:
        async with anyio.create_task_group() as group:

            async def run(accelerator: str) -> None:
                sector = Path(folder) / f"{accelerator}.img"  # each its own: QEMU locks what it opens
                sector.write_bytes(boot_sector(rounds))
                ran[accelerator] = await _count_down(accelerator, sector)
                if accelerator == "kvm" or ran[accelerator].seconds is not None:
                    group.cancel_scope.cancel()

            group.start_soon(run, "kvm")
            group.start_soon(run, "tcg")
    return ran


async def _count_down(accelerator: str, sector: Path) -> Countdown:
    command = [
        "qemu-system-x86_64",
        "-accel", accelerator,
        "-nodefaults", "-no-user-config", "-display", "none",
        "-drive", f"if=ide,format=raw,file={sector}",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
    ]  # fmt: skip
    start = time.monotonic()
    async with await anyio.open_process(command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE) as process:
        complaint = await _all(process.stderr) if process.stderr else ""
        finished = await process.wait() == (_DONE << 1 | 1)
    if finished:
        return Countdown(time.monotonic() - start)
    return Countdown(None, (complaint.strip().splitlines() or ["it says nothing"])[-1])


def boot_sector(rounds: int) -> bytes:
    """Sixteen-bit code that counts `rounds` down and then writes to QEMU's debug exit port (0xf4)."""
    code = b"\x66\xb9" + struct.pack("<I", rounds)  # mov ecx, rounds
    code += b"\x66\x49\x75\xfc"  # again: dec ecx; jnz again
    code += bytes([0xB0, _DONE, 0xE6, 0xF4])  # mov al, done; out 0xf4, al
    code += b"\xf4\xeb\xfd"  # halt: hlt; jmp halt
    return code.ljust(510, b"\0") + b"\x55\xaa"


async def _all(stream: anyio.abc.ByteReceiveStream) -> str:
    return b"".join([chunk async for chunk in stream]).decode(errors="replace")


if __name__ == "__main__":  # what a gate on this machine would run with, for `doctor`
    print(json.dumps(asdict(anyio.run(choose, Spec()))))
