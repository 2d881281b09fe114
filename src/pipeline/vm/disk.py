"""The disk under test: opened read-only, hashed before and after, written to only through an overlay."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from pipeline.errors import InfrastructureError, UsageError


@dataclass(frozen=True)
class Base:
    """The very artifact: its file, and what QEMU calls its format."""

    path: Path
    format: str
    size: int

    @classmethod
    async def open(cls, path: Path) -> "Base":
        """Look at the file.

        Raises UsageError when it is not a disk image.
        """
        file = await anyio.Path(path).resolve()
        if not await file.is_file():
            raise UsageError(f"{path} is not a file; expected a disk image (qcow2 or raw)")
        answer = await anyio.run_process(["qemu-img", "info", "--output=json", str(file)], check=False)
        if answer.returncode:
            raise UsageError(f"{path} is not a disk image that qemu-img reads: {answer.stderr.decode().strip()}")
        return cls(Path(file), json.loads(answer.stdout)["format"], (await file.stat()).st_size)


async def sha256(path: Path) -> str:
    """The hexadecimal sha256 of a file, computed in a thread."""

    def compute() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return await anyio.to_thread.run_sync(compute)


async def overlay(base: Base, path: Path) -> None:
    """Create a qcow2 file that takes all writes; the base stays as it is."""
    answer = await anyio.run_process(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base.path), "-F", base.format, str(path)], check=False
    )
    if answer.returncode:
        raise InfrastructureError(f"qemu-img could not create an overlay: {answer.stderr.decode().strip()}")
