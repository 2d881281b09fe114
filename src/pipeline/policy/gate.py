"""The verdict of a gate over its checks."""

from collections.abc import Sequence

from pipeline.domain import Outcome
from pipeline.report.model import Check, CheckStatus


def verdict(checks: Sequence[Check]) -> tuple[Outcome, str]:
    """The outcome with one sentence of reason.

    A required check lets through when it passed or was waived; skipped is not passed. What failed weighs more
    than what infrastructure broke, and no required check at all is never a success.
    """
    required = [check for check in checks if check.required]
    if not required:
        return Outcome.INFRA, "No required check ran; expected at least one."
    failed = [check for check in required if check.status in (CheckStatus.FAILED, CheckStatus.SKIPPED)]
    broken = [check for check in required if check.status is CheckStatus.INFRA]
    for outcome, blocking in ((Outcome.GATE_FAILED, failed), (Outcome.INFRA, broken)):
        if blocking:
            first, others = blocking[0], len(blocking) - 1
            more = f" (and {others} more: {', '.join(check.name for check in blocking[1:])})" if others else ""
            return outcome, f"{first.name} {first.status}: {first.reason or 'no reason given'}{more}"
    waived = sum(check.status is CheckStatus.WAIVED for check in checks)
    advice = [check.name for check in checks if check.status is CheckStatus.FAILED]
    return Outcome.PASSED, (
        f"{len(required)} checks passed"
        + (f", {waived} of them waived" if waived else "")
        + (f", advice from: {', '.join(advice)}" if advice else "")
    )
