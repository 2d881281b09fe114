"""KVM when it really makes progress, emulation otherwise.

/dev/kvm proves nothing: in a Dagger container the node always exists, and a paravirtual KVM opens, creates the guest
and then crawls. So a 512-byte boot sector counts down in it; what a processor does in a blink must be done in two
seconds.
"""

import json
import os
import platform
import struct
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from tempfile import TemporaryDirectory

import anyio

from pipeline.errors import InfrastructureError
from pipeline.vm.spec import Arch, Spec

ROUNDS = 50_000_000
LIMIT = 2.0
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
    return await _counts_down(ROUNDS, LIMIT)


async def _counts_down(rounds: int, limit: float, accelerator: str = "kvm") -> tuple[bool, str]:
    with TemporaryDirectory(prefix="kvm-probe-") as folder:
        sector = Path(folder) / "countdown.img"
        sector.write_bytes(boot_sector(rounds))
        command = [
            "qemu-system-x86_64",
            "-accel", accelerator,
            "-nodefaults", "-no-user-config", "-display", "none",
            "-drive", f"if=ide,format=raw,file={sector}",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
        ]  # fmt: skip
        start = time.monotonic()
        process = await anyio.open_process(command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
        async with process:
            try:
                with anyio.move_on_after(limit):
                    await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
            took = time.monotonic() - start
            finished = await process.wait() == (_DONE << 1 | 1)
            complaint = "" if finished or not process.stderr else await _all(process.stderr)
    if finished:
        return True, f"{rounds:,} iterations took {took:.2f} s in {accelerator.upper()} (limit {limit:g} s)"
    said = f" ({complaint.strip().splitlines()[-1]})" if complaint.strip() else ""
    return False, f"{rounds:,} iterations did not finish in {limit:g} s in {accelerator.upper()}{said}"


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
