"""A release of several images, seen as one result."""

from collections.abc import Sequence

from pipeline.domain import worst
from pipeline.report.model import Result


def merge(results: Sequence[Result]) -> Result:
    """One result for one command over one or more images; a single one is returned as it is.

    Checks, phases and inputs carry the image's name in front; digests are among the inputs.
    """
    if len(results) == 1:
        return results[0]
    first = results[0]
    outcome = worst([result.outcome for result in results])
    return Result(
        command=first.command,
        outcome=outcome,
        reason=_in_a_row([f"{result.image}: {result.reason}" for result in results if result.outcome is outcome]),
        image=", ".join(result.image for result in results),
        commit=first.commit,
        tag=first.tag,
        checks=[
            check.model_copy(update={"name": f"{result.image}: {check.name}"})
            for result in results
            for check in result.checks
        ],
        plan=[move for result in results for move in result.plan],
        timeline=[
            phase.model_copy(update={"name": f"{result.image}: {phase.name}"})
            for result in results
            for phase in result.timeline
        ],
        inputs={f"{result.image}: {name}": value for result in results for name, value in _inputs(result).items()},
        started=min(result.started for result in results),
        duration=max(result.duration for result in results),
    )


def _in_a_row(reasons: Sequence[str]) -> str:
    """Many of them are no whole sentence, and end without a stop."""
    *others, last = reasons
    return " ".join([*(one if one.endswith((".", "!", "?")) else f"{one};" for one in others), last])


def _inputs(result: Result) -> dict[str, str]:
    return ({"digest": result.digest} if result.digest else {}) | result.inputs
