"""`python -m pipeline.image.suite FOLDER [--vm]`: whether every file of a folder that looks like a test would run.

Exit code 2, with a sentence for each on stderr, when one would not.
"""

import argparse
import os
import sys
from pathlib import Path, PurePosixPath

from pipeline.policy.suite import SuiteFile, overlooked_unit_tests, overlooked_vm_checks


def read_suite(folder: Path) -> list[SuiteFile]:
    """The files of a folder and all below it, by name; what git and pytest leave behind is none of them."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return [
        SuiteFile(PurePosixPath(path.relative_to(folder)), os.access(path, os.X_OK), _is_script(path)) for path in found
    ]


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def main() -> int:
    """Say what would not run."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.image.suite", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vm", action="store_true", help="checks of the booted system, not tests inside the image")
    given = parser.parse_args()
    files = read_suite(given.folder)
    missed = overlooked_vm_checks(files) if given.vm else overlooked_unit_tests(files)
    print("\n".join(missed), file=sys.stderr)
    return 2 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
