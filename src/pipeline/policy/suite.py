"""Tests that would vanish in silence: files that look like a test of a folder and would not be run there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

_TESTS = ("test_*", "*_test.*", "*.test", "*.bats")


@dataclass(frozen=True)
class SuiteFile:
    """A file of the folder, by its path in it."""

    path: PurePosixPath
    executable: bool
    script: bool = False
    """Whether it begins with `#!`."""

    def looks_like_a_test_beside(self, others: Sequence["SuiteFile"]) -> bool:
        """By its name or first line, or because a file that runs beside it has the same suffix."""
        beside = [one for one in others if one.executable and one.path.parent == self.path.parent]
        alike = self.path.suffix != "" and self.path.suffix in {one.path.suffix for one in beside}
        return self.named or (bool(beside) and (self.script or alike))

    @property
    def named(self) -> bool:
        """Whether its name is that of a test."""
        return any(self.path.match(pattern) for pattern in _TESTS)

    @property
    def module(self) -> bool:
        """Whether pytest would collect it."""
        return self.path.match("test_*.py")


def overlooked_unit_tests(files: Sequence[SuiteFile]) -> list[str]:
    """Of the tests inside the image, whose executables run, also those in sub-folders: what looks like one and is none.

    One sentence for each; also one when nothing would run.
    """
    if not any(one.executable for one in files):
        return ["it has no executable file; expected at least one (chmod +x)"]
    missed = [one for one in files if not one.executable and one.looks_like_a_test_beside(files)]
    return [f"{one.path} looks like a test and has no run bit (chmod +x, or move what is only read to a sub-folder)"
            for one in missed]  # fmt: skip


def overlooked_vm_checks(files: Sequence[SuiteFile]) -> list[str]:
    """Of the checks of the booted system (executables and test_*.py of the folder itself), the same."""
    top = [one for one in files if len(one.path.parts) == 1]
    below = [one for one in files if len(one.path.parts) > 1]
    if not any(one.executable or one.module for one in top):
        return ["it has no checks; expected executable files or test_*.py in it"]
    still = [one for one in top if not one.executable and not one.module and one.looks_like_a_test_beside(top)]
    deep = [one for one in below if one.executable or one.named]
    return [
        *(f"{one.path} looks like a check and has no run bit (chmod +x, or move what is only read to a sub-folder)"
          for one in still),
        *(f"{one.path} looks like a check and is in a sub-folder, where none is run (move it up, or take its run bit)"
          for one in deep),
    ]  # fmt: skip
