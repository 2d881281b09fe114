"""Whether the candidate can be tried as an upgrade of the current stable, and why not."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.domain import Digest
from pipeline.report.model import Check, CheckStatus


@dataclass(frozen=True)
class UpgradeFacts:
    """What is known before anything is fetched."""

    wanted: bool
    """`gates.testing.upgrade`."""
    candidate: Digest
    candidate_has_bootc: bool
    stable: Digest | None
    """What `:stable` names."""
    stable_disk: bool
    """Whether the registry has the disk of that digest, for this platform, from a testing gate that passed."""
    stable_has_bootc: bool = False
    """Whether that disk had bootc when it passed."""


@dataclass(frozen=True)
class NoUpgrade:
    """Why there is nothing to try: one word for `allowed_skips`, and a sentence."""

    reason: str
    why: str


def why_no_upgrade(facts: UpgradeFacts) -> NoUpgrade | None:
    """The reason to skip upgrade and rollback; None when they can be tried.

    Two are not allowed by default: a stable without its disk, because its users will upgrade and nobody has tried; and
    an image that lost its bootc, because nobody could upgrade from it.
    """
    if not facts.wanted:
        return NoUpgrade("not-configured", "gates.testing.upgrade is false")
    if not facts.candidate_has_bootc and facts.stable_has_bootc:
        return NoUpgrade(
            "bootc-lost",
            "the current stable has bootc and this image has none: a system that took it could not be updated again",
        )
    if not facts.candidate_has_bootc:
        return NoUpgrade("no-bootc", "the image has no bootc program to upgrade by")
    if facts.stable is None:
        return NoUpgrade("first-release", "there is no stable yet that could be upgraded")
    if facts.stable == facts.candidate:
        return NoUpgrade("same-as-stable", "the candidate is the current stable")
    if not facts.stable_disk:
        return NoUpgrade(
            "no-stable-disk",
            f"the registry has no disk of the current stable {facts.stable.short} that passed the testing gate, "
            "and its users will upgrade all the same",
        )
    return None


def has_bootc(checks: Sequence[Check], machine: str = "") -> bool:
    """Whether a booted system had bootc, by what the check of its digest says; of a gate's result, on that machine."""
    names = {"bootc-digest", f"{machine}/bootc-digest"}
    return any(
        check.name in names and not (check.status is CheckStatus.SKIPPED and check.reason.startswith("no-bootc:"))
        for check in checks
    )
