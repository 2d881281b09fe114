"""Nothing bad on the serial console, of any boot so far that is the candidate's."""

import re

from pipeline.vm.accelerator import Accelerator
from pipeline.vm.checks.base import VmCheck
from pipeline.vm.rules import Match, Severity
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found

_NUMBER = re.compile(r"(?<![0-9a-f])(0x)?[0-9a-f]*[0-9][0-9a-f]*")
"""From its beginning only: a long run of letters is not looked at again from each of them."""


async def _look(session: Session) -> Found:
    return summarise(
        session.machine.console.matches[session.matches_before :],
        "a console free of known bad lines",
        session.accelerator,
    )


def summarise(matches: list[Match], expected: str, accelerator: Accelerator) -> Found:
    """One finding for each kind of bad line; warnings are shown and fail nothing."""
    mild = {Severity.WARNING} if accelerator.is_kvm else {Severity.WARNING, Severity.TIMING}
    bad = _kinds([match for match in matches if match.rule.severity not in mild])
    warnings = _kinds([match for match in matches if match.rule.severity in mild])
    note = f"{len(warnings)} kinds of warnings" if warnings else "clean"
    return Found(bad, expected, note=note, output="\n".join(f"warning: {line}" for line in warnings))


def _kinds(matches: list[Match]) -> list[str]:
    """The first of the lines that differ in numbers only, and how often the kind occurs."""
    kinds: dict[str, list[Match]] = {}
    for match in matches:
        kinds.setdefault(without_numbers(str(match)), []).append(match)
    return [f"{same[0]}" + (f" ({len(same)} times)" if len(same) > 1 else "") for same in kinds.values()]


def without_numbers(line: str) -> str:
    """A line with `#` for each decimal or hexadecimal number, so that lines of a kind are the same."""
    return _NUMBER.sub("#", line)


CHECK = VmCheck("console", _look, again=True)
