"""`python -m pipeline.vm.form FILE --to FILE`: what a disk builder left, in the form that is tested and uploaded.

Converted once, if it is not in that form yet, on all processors. Prints one line of JSON; one paragraph on stderr and
the outcome's exit code when the file is damaged or there is no room.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.errors import GateFailed, InfrastructureError, UsageError
from pipeline.policy.blame import is_full
from pipeline.program import ended
from pipeline.quantities import size_text

_NO_CHECK = 63
"""qemu-img(1), check: the format has none; 1 could not look, 2 a damaged image, 3 lost clusters."""
_COROUTINES = 16
"""qemu-img(1), convert -m: no more is taken."""
_COMPRESSED = re.compile(r"([\d.]+)% compressed clusters")


class Form(StrEnum):
    """How a disk's file is made up; whichever it is, that one file boots, is stored, and is uploaded."""

    QCOW2 = "qcow2"
    """Nothing compressed, in the order of the disk: what stays the same from release to release is stored once."""
    ZSTD = "qcow2-zstd"
    """Compressed by zstd, which QEMU reads since 5.1."""
    AS_BUILT = "as-built"
    """What the builder leaves, when that is a qcow2."""


class Formed(BaseModel):
    """What the file is now."""

    form: str
    built: str
    """What the builder had left: `raw`, `qcow2`, `qcow2-zlib`, `qcow2-zstd`."""
    built_size: int
    """Bytes."""
    size: int
    """Bytes."""
    check: str
    """What `qemu-img check` said of it."""
    seconds: float = 0.0
    """For converting it; 0 when there was nothing to convert."""

    @property
    def converted(self) -> bool:
        """Whether there is another file than the one that was built."""
        return self.seconds > 0

    def inputs(self) -> dict[str, str]:
        """What the evidence says of it."""
        made = f" of {self.built} ({size_text(self.built_size)}) in {self.seconds:.1f} s" if self.converted else ""
        return {"disk form": f"{self.form}{made}", "disk size": str(self.size), "qemu-img check": self.check}


@dataclass(frozen=True)
class Seen:
    """A disk's file, as qemu-img sees it."""

    format: str
    compression: str
    """What its clusters are compressed by; empty when none is."""
    check: str

    @property
    def form(self) -> str:
        """The same as one word."""
        return "-".join(part for part in (self.format, self.compression) if part)


def look(path: Path) -> Seen:
    """UsageError for what is no disk, GateFailed for a damaged one, InfrastructureError when it cannot be checked."""
    told = _qemu_img("info", "--output=json", str(path))
    if told.returncode:
        raise UsageError(f"The disk builder left no disk that qemu-img reads: {told.stderr.strip()}")
    info: dict[str, Any] = json.loads(told.stdout)
    checked = _qemu_img("check", "-f", info["format"], str(path))
    said = (checked.stdout or checked.stderr).strip()
    if checked.returncode not in (0, 1, _NO_CHECK):
        raise GateFailed(f"qemu-img check finds the new disk damaged: {said}")
    if checked.returncode == 1:
        raise InfrastructureError(f"qemu-img cannot check the new disk: {(said + checked.stderr).strip()}")
    share = _COMPRESSED.search(said)
    kind = (info.get("format-specific") or {}).get("data", {}).get("compression-type", "zlib")
    return Seen(info["format"], kind if share and float(share[1]) else "", said.partition("\n")[0])


def conversion(form: Form, seen: Seen, processors: int) -> list[str] | None:
    """How qemu-img is to make that form of what was built; None when it is there. UsageError for no qcow2 as built.

    Only clusters that are compressed are written in any order: the order of the others is what makes chunks of two
    releases equal.
    """
    if form is Form.AS_BUILT and seen.format != Form.QCOW2:
        raise UsageError(
            f"The disk builder left a disk of format {seen.format}, and gates.testing.builder.form is as-built: "
            "expected a qcow2. Leave form out, and the disk is converted; or have the builder make a qcow2."
        )
    if form in (Form.AS_BUILT, seen.form):
        return None
    packed = ["-c", "-o", "compression_type=zstd", "-W"] if form is Form.ZSTD else []
    return ["convert", "-f", seen.format, "-O", "qcow2", *packed, "-m", str(min(processors, _COROUTINES))]


def formed(built: Path, form: Form, to: Path) -> Formed:
    """Look at the disk, and write it to `to` in that form unless it has it. Raises as `look` and `conversion`."""
    seen, size = look(built), built.stat().st_size
    how = conversion(form, seen, len(os.sched_getaffinity(0)))
    if how is None:
        return Formed(form=seen.form, built=seen.form, built_size=size, size=size, check=seen.check)
    needed = _needed(built, form)
    if (free := shutil.disk_usage(to.parent).free) < needed:
        raise _no_room(built, needed, free)
    began = time.monotonic()
    done = _qemu_img(*how, str(built), str(to))
    if done.returncode:
        to.unlink(missing_ok=True)
        if is_full(done.stderr):
            raise _no_room(built, needed, free)
        raise InfrastructureError(f"qemu-img could not make {form} of the {seen.form}: {done.stderr.strip()}")
    seconds = time.monotonic() - began
    now = look(to)
    return Formed(
        form=now.form, built=seen.form, built_size=size, size=to.stat().st_size, check=now.check, seconds=seconds
    )


def _needed(built: Path, form: Form) -> int:
    """Bytes of the new file: as qemu-img measures them, or about those of what was built where both are compressed."""
    if form is Form.ZSTD:
        return built.stat().st_blocks * 512
    measured = _qemu_img("measure", "--output=json", "-O", "qcow2", str(built))
    return int(json.loads(measured.stdout)["required"]) if measured.returncode == 0 else built.stat().st_size


def _no_room(built: Path, needed: int, free: int) -> InfrastructureError:
    return InfrastructureError(
        f"The disk has {size_text(built.stat().st_size)} as it was built, needs {size_text(needed)} in the form that "
        f"is tested, and {size_text(free)} were free for it on the engine's machine. This says nothing about the "
        "image: make room, then run the command again."
    )


def _qemu_img(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["qemu-img", *words], capture_output=True, text=True, check=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.vm.form", description=__doc__.partition("\n")[0])
    parser.add_argument("built", type=Path, help="what the builder left")
    parser.add_argument("--form", type=Form, choices=list(Form), default=Form.QCOW2)
    parser.add_argument("--to", type=Path, required=True, help="where to write what is converted")
    given = parser.parse_args(arguments)
    return ended(lambda: formed(given.built, given.form, given.to).model_dump_json())


if __name__ == "__main__":
    sys.exit(main())
