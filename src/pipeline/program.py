"""How a program of ours in a tool container ends: its outcome's exit code, and its answer or the reason why not.

Python itself ends with 1 after an error that nobody caught, and 1 is what a gate's no is.
"""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import InfrastructureError, heard

_ROOT = Path(__file__).parent


def ended(work: Callable[[], str]) -> int:
    """Print what `work` answers, or on stderr why it does not; the exit code."""
    try:
        answer = work()
    except Exception as error:
        known = heard(error, _unthought_of)
        print(known, file=sys.stderr)
        return known.outcome.exit_code
    if answer:
        print(answer)
    return 0


def place(error: BaseException) -> str:
    """Where in our code it came from; its text may hold anything, and is for nobody's log."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(_ROOT)]
    if not ours:
        return "outside its own code"
    return f"in {Path(ours[-1].filename).relative_to(_ROOT).as_posix()} line {ours[-1].lineno}"


def _unthought_of(error: BaseException) -> InfrastructureError:
    if isinstance(error, OSError):
        return InfrastructureError(f"{error}; expected files that can be read and room on the disk for what is written")
    if isinstance(error, MemoryError):
        return InfrastructureError(f"No memory was left, {place(error)}; expected 200 MB. Free some, and run again.")
    return InfrastructureError(
        f"The pipeline met a {type(error).__name__} that nobody thought of, {place(error)}. This says nothing about "
        "the image. Please report it to the module's authors with this text and the command."
    )
