"""The disk under test: opened read-only, hashed once while it boots, written to only through an overlay."""

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
    stamp: tuple[int, int]
    """When its content and what the file system knows of it were last changed: nobody can set the second one back."""

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
        seen = await file.stat()
        stamp = (seen.st_mtime_ns, seen.st_ctime_ns)
        return cls(Path(file), json.loads(answer.stdout)["format"], seen.st_size, stamp)

    async def untouched(self) -> bool:
        """Whether nobody has written to the file since it was opened."""
        seen = await anyio.Path(self.path).stat()
        return (seen.st_size, (seen.st_mtime_ns, seen.st_ctime_ns)) == (self.size, self.stamp)


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
