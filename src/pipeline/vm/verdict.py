"""What a check found, and what that means: pure, for every check the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from pipeline.policy.waivers import Waiver
from pipeline.report.model import Check, CheckStatus

OUTPUT_LIMIT = 16 << 10
"""Characters of evidence that a result carries; whole logs are files."""
NOT_RUN = "not-run"
"""The reason of a check that could not be asked any more; never allowed."""
NAMED_FINDINGS = 3
"""How many findings the reason names; the output has all of them."""


@dataclass(frozen=True)
class Found:
    """What a check saw. No findings means that all is well."""

    findings: Sequence[str] = ()
    """Each on its own: what is wrong, so that a waiver can cover one and not the next."""
    expected: str = ""
    """What should have been there instead."""
    note: str = ""
    """For a check that passes: what was seen."""
    output: str = ""
    """Evidence."""


@dataclass(frozen=True)
class Skipped:
    """The check had nothing to look at; `reason` is one word of `Spec.allowed_skips`, `why` explains."""

    reason: str
    why: str


@dataclass
class Waivers:
    """The waivers of one run, and which of them were needed."""

    waivers: Sequence[Waiver]
    today: date
    used: set[int] = field(default_factory=set)

    def cover(self, names: Sequence[str], finding: str) -> Waiver | None:
        """The waiver that lets this finding of a check (under any of its names) through today."""
        for index, waiver in enumerate(self.waivers):
            if _covers(waiver, names, finding, self.today):
                self.used.add(index)
                return waiver
        return None

    def expired(self, names: Sequence[str], finding: str) -> Waiver | None:
        """The waiver that would have covered this finding if its day had not passed."""
        for waiver in self.waivers:
            if waiver.until < self.today and _covers(waiver, names, finding, waiver.until):
                return waiver
        return None

    def unused(self) -> list[Waiver]:
        """Those that covered nothing and can go."""
        return [waiver for index, waiver in enumerate(self.waivers) if index not in self.used]

    def inputs(self) -> dict[str, str]:
        """What a report says of those."""
        unused = "; ".join(waiver.text for waiver in self.unused())
        return {"waivers_unused": unused} if unused else {}


NONE = Waivers((), date.max)
"""No waiver at all."""


def _covers(waiver: Waiver, names: Sequence[str], finding: str, today: date) -> bool:
    """A finding that is repeated for another check (`units: a.service failed`) is also as that one words it."""
    source, _, own = finding.partition(": ")
    texts = (finding, own) if source in names else (finding,)
    return any(waiver.covers(name, text, today) for name in names for text in texts)


def judge(
    names: Sequence[str],
    found: Found | Skipped,
    waivers: Waivers,
    allowed_skips: frozenset[str],
    *,
    required: bool = True,
    duration: float = 0.0,
) -> Check:
    """The result of one check. `names` are its own and those whose waivers cover it too."""
    name = names[0]
    if isinstance(found, Skipped):
        allowed = found.reason in allowed_skips
        refusal = "" if allowed or found.reason == NOT_RUN else "; this is not among the reasons in allowed_skips"
        reason = f"{found.reason}: {found.why}{refusal}"
        return Check(
            name=name, status=CheckStatus.SKIPPED, required=required and not allowed, reason=reason, duration=duration
        )
    output = found.output[-OUTPUT_LIMIT:]
    if not found.findings:
        return Check(
            name=name, status=CheckStatus.PASSED, required=required, reason=found.note, duration=duration, output=output
        )
    waived, left = [], []
    for finding in found.findings:
        if waiver := waivers.cover(names, finding):
            waived.append(f"{finding} (waived until {waiver.until}: {waiver.bug})")
        elif lapsed := waivers.expired(names, finding):
            left.append(f"{finding} (its waiver EXPIRED on {lapsed.until}: {lapsed.bug})")
        else:
            left.append(finding)
    reason = _listed(left or waived)
    if left and found.expected:
        reason += f"; expected {found.expected}"
    everything = "\n".join([*left, *waived])
    return Check(
        name=name,
        status=CheckStatus.FAILED if left else CheckStatus.WAIVED,
        required=required,
        reason=reason,
        duration=duration,
        output=(everything + "\n\n" + output).strip()[:OUTPUT_LIMIT] if output else everything[:OUTPUT_LIMIT],
    )


def _listed(findings: Sequence[str]) -> str:
    more = len(findings) - NAMED_FINDINGS
    return "; ".join(findings[:NAMED_FINDINGS]) + (f"; and {more} more" if more > 0 else "")
