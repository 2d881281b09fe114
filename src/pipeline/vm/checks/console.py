"""Nothing bad on the serial console, of any boot so far."""

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.rules import Match, Severity
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found


async def _look(session: Session) -> Found:
    return summarise(session.machine.console.matches, "a console free of known bad lines")


def summarise(matches: list[Match], expected: str) -> Found:
    """One finding for each different bad line; warnings are shown and fail nothing."""
    bad = dict.fromkeys(str(match) for match in matches if match.rule.severity is not Severity.WARNING)
    warnings = dict.fromkeys(str(match) for match in matches if match.rule.severity is Severity.WARNING)
    note = f"{len(warnings)} warnings" if warnings else "clean"
    return Found([*bad], expected, note=note, output="\n".join(f"warning: {line}" for line in warnings))


CHECK = VmCheck("console", _look, waived_as=("journal",), again=True)
