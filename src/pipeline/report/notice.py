"""What people are told while they look elsewhere: an event, a line of subject, and the summary of the command."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from pipeline.domain import Channel, Outcome
from pipeline.report.board import Ending
from pipeline.report.model import Check, Result
from pipeline.report.text import result_text


class Event(StrEnum):
    """What somebody may want to be told of."""

    BUILT = "built"
    PROMOTED = "promoted"
    GATE_FAILED = "gate-failed"
    ROLLED_BACK = "rolled-back"
    STALE = "stale"
    WAIVER_ENDS = "waiver-ends"


_DONE = {
    "build-next": Event.BUILT,
    "submit-next": Event.BUILT,
    "promote-testing": Event.PROMOTED,
    "promote-stable": Event.PROMOTED,
    "rollback": Event.ROLLED_BACK,
}
"""What a command that passed has brought about."""
_CHANNELS = {"promote-testing": Channel.TESTING, "promote-stable": Channel.STABLE}


@dataclass(frozen=True)
class Notice:
    """One message."""

    event: Event
    subject: str
    """A line."""
    text: str
    """Several, for a terminal as well."""


def notices(
    results: Sequence[Result], on: Collection[Event], waivers: Iterable[Ending] = (), *, today: date, ahead: float
) -> list[Notice]:
    """What there is to tell after a command, of the events that are asked for.

    `ahead` is in seconds: so long before their last day `verify`, which runs daily, tells of waivers.
    """
    found = [notice for result in results for notice in _of(result)]
    if any(result.command == "verify" for result in results):
        found += _of_waivers(waivers, today, timedelta(seconds=ahead))
    return [notice for notice in found if notice.event in on]


def _of(result: Result) -> Iterator[Notice]:
    told = result_text(result)
    if result.outcome is Outcome.GATE_FAILED:
        yield Notice(Event.GATE_FAILED, f"{result.image}: {result.command} failed", told)
    elif result.outcome is Outcome.PASSED and (event := _DONE.get(result.command)):
        channel = _CHANNELS.get(result.command)
        words = (event, result.tag, f"to {channel}" if channel else "")
        yield Notice(event, f"{result.image}: {' '.join(filter(None, words))}", told)
    for check in result.checks:
        if result.command == "verify" and _is_stale(check):
            yield Notice(Event.STALE, f"{result.image}: {check.name.partition('/')[0]} is stale", check.reason)


def _is_stale(check: Check) -> bool:
    return check.name.endswith("/age") and not check.lets_through


def _of_waivers(waivers: Iterable[Ending], today: date, ahead: timedelta) -> Iterator[Notice]:
    for waiver in waivers:
        if today <= waiver.until <= today + ahead:
            yield Notice(Event.WAIVER_ENDS, f"a waiver ends on {waiver.until}", waiver.text)
