"""What a channel's ledger says about a command: was it overtaken, and where did the channel come from?

Entries are written ahead of their moves, so the last ones may not have been carried out: a crash, a lost race.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.domain import Digest, Tag
from pipeline.policy.tags import ReleaseTag, TestTag


@dataclass(frozen=True)
class Step:
    """One entry that was to move the channel."""

    old: Digest | None
    new: Digest
    version: Tag | None = None
    """The version tag that was promoted with it."""
    back: bool = False
    """A rollback."""
    number: int = 0
    """Of the entry."""
    can_be_held: bool = False
    """A promotion that was not told to go over a hold."""


def overtaken(
    steps: Sequence[Step], tag: Tag, digest: Digest, now: Digest | None, *, over_rollback: bool = False
) -> bool:
    """Whether a repeated promotion of `tag` would take the channel, which is at `now`, back; `steps` newest first.

    So it is when the ledger has that promotion and something later was carried out. A promotion that itself never
    was, because another one won the race, may still follow when its version is the higher one; with `over_rollback`,
    so may one from which the channel was just taken back.
    """
    mine = next((place for place, step in enumerate(steps) if (step.version, step.new) == (tag, digest)), None)
    if mine is None:
        return False
    done = [step.new == (steps[place - 1].old if place else now) for place, step in enumerate(steps[: mine + 1])]
    later = [step for step, carried_out in zip(steps[:mine], done, strict=False) if carried_out]
    if not later or (over_rollback and later[0].back):
        return False
    return done[mine] or any(step.back or not above(tag, step.version) for step in later)


def explained(steps: Sequence[Step], now: Digest) -> bool:
    """Whether a ledger, newest first, accounts for the channel at `now`.

    Its last entry was carried out; or those after the one that was had the same start: they lost the race to it.
    """
    for place, step in enumerate(steps):
        if step.new == now:
            return all(lost.old == step.old for lost in steps[:place])
    return False


def earlier(steps: Sequence[Step], now: Digest | None) -> Iterator[Digest]:
    """Where a channel that is at `now` was before by its promotions, the last one first; `steps` newest first.

    What it was taken back from is left out. At a digest that no entry names, everything was before.
    """
    reached = all(step.new != now for step in steps)
    seen = {now}
    for step in steps:
        if step.back:
            seen.add(step.old)
            continue
        for digest in (step.new, step.old) if reached else (step.old,) if step.new == now else ():
            if digest and digest not in seen:
                seen.add(digest)
                yield digest
        reached = reached or step.new == now


def above(tag: Tag, other: Tag | None) -> bool:
    """Whether a version tag is of a higher version, or attempt, than another; higher than none in any case."""
    if other is None:
        return True
    if "-test" in tag:
        return TestTag.parse(tag) > TestTag.parse(other)
    return ReleaseTag.parse(tag) > ReleaseTag.parse(other)
