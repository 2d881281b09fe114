"""Every error that a user can meet, one type for each kind of cause.

PipelineError
├── GateFailed           1  a check found something that must not ship
├── UsageError           2  bad tag name, bad configuration, bad argument
├── PreconditionError    3  wrong digest, missing evidence, label that differs
├── ConflictError        4  the world moved while we looked
├── PartialError         5  some tags moved; running again finishes
└── InfrastructureError  6  an outage: no verdict on the image, neither good nor bad

The message says what was found, what was expected and what to do next.
"""

from collections.abc import Callable, Iterator
from typing import ClassVar

from pipeline.domain import Outcome, worst, writable


class PipelineError(Exception):
    """Ends a command with its outcome; the text is the one paragraph that the user reads."""

    outcome: ClassVar[Outcome]

    def __init__(self, text: str):
        super().__init__(writable(text))


class GateFailed(PipelineError):
    """A gate's verdict is no."""

    outcome = Outcome.GATE_FAILED


class UsageError(PipelineError):
    """What was asked for cannot be understood or is not allowed."""

    outcome = Outcome.USAGE


class PreconditionError(PipelineError):
    """Something that must be there before is missing or different."""

    outcome = Outcome.PRECONDITION


class ConflictError(PipelineError):
    """Somebody else changed what this command had looked at."""

    outcome = Outcome.CONFLICT


class PartialError(PipelineError):
    """Stopped between two moves; running the same command again finishes them."""

    outcome = Outcome.PARTIAL


class InfrastructureError(PipelineError):
    """A machine, network or service failed; this says nothing about the image."""

    outcome = Outcome.INFRA


def heard(error: BaseException, unthought_of: Callable[[BaseException], PipelineError]) -> PipelineError:
    """The error that a user can act on: of several at once the one that must be heard first.

    `unthought_of` has the words for what is none of ours, which comes before all others.
    """
    leaves = list(_leaves(error))
    known = [leaf for leaf in leaves if isinstance(leaf, PipelineError)]
    if unknown := [leaf for leaf in leaves if not isinstance(leaf, PipelineError)]:
        return unthought_of(unknown[0])
    first = worst([leaf.outcome for leaf in known])
    return next(leaf for leaf in known if leaf.outcome is first)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
