"""Images for another processor: their programs run here only where the kernel hands them to an emulator.

`python -m pipeline.image.foreign linux/arm64` runs a program for that platform; exit code 0 says that it ran.
"""

import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.policy.platforms import machine as machine_of

FOREIGN = (
    "Its programs do not run on the engine's machine. Register an emulator with that machine's kernel (binfmt_misc: "
    "docker/setup-qemu-action on a runner, Debian's qemu-user-static with binfmt-support), or use an engine on a "
    "machine of that architecture."
)
"""What to do about it, for an error message."""

_LEAVES = {
    "x86_64": (62, "b83c000000 31ff 0f05"),  # mov eax, 60 (exit); xor edi, edi; syscall
    "aarch64": (183, "a80b80d2 000080d2 010000d4"),  # mov x8, 93 (exit); mov x0, 0; svc 0
}
"""The smallest program of each processor: the number of the machine (ELF, e_machine), and code that ends with 0."""


def looks_foreign(said: str) -> bool:
    """Whether the words of podman or its runtime are those of a program for another machine."""
    return "exec format error" in said.lower()


def known(platform: str) -> bool:
    """Whether there is a program by which to find out; of a variant, such as amd64/v3, the common one runs."""
    return machine_of(platform) in _LEAVES


def program(platform: str) -> bytes:
    """An executable that does nothing, for any machine of a platform (System V ABI, ELF-64)."""
    machine, leaves = _LEAVES[machine_of(platform)]
    code = bytes.fromhex(leaves)
    start, headers = 0x400000, 64 + 56
    size = headers + len(code)
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bit, little endian, version 1
    file = struct.pack("<16sHHIQQQIHHHHHH", identity, 2, machine, 1, start + headers, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, 0x1000)  # load, read and execute
    return file + segment + code


def runs(platform: str) -> bool:
    """Whether this machine's kernel runs programs of a platform, by itself or through an emulator."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "program")
        path.write_bytes(program(platform))
        path.chmod(0o755)
        try:
            return subprocess.run([path], check=False).returncode == 0
        except OSError:
            return False


if __name__ == "__main__":
    sys.exit(0 if runs(sys.argv[1]) else 1)
