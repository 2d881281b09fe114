"""When the candidate is tried as an upgrade of the current stable."""

import pytest

from pipeline import config
from pipeline.domain import Digest
from pipeline.policy.upgrade import UpgradeFacts, has_bootc, why_no_upgrade
from pipeline.report.model import Check, CheckStatus

A, B = (Digest("sha256:" + letter * 64) for letter in "ab")
TRIED = {"wanted": True, "candidate": B, "candidate_has_bootc": True, "stable": A, "stable_disk": True}


@pytest.mark.parametrize(
    ("facts", "reason", "lets_through"),
    [
        ({}, None, None),
        ({"wanted": False}, "not-configured", True),
        ({"candidate_has_bootc": False}, "no-bootc", True),
        ({"candidate_has_bootc": False, "stable": None, "stable_disk": False}, "no-bootc", True),
        ({"candidate_has_bootc": False, "stable_has_bootc": True}, "bootc-lost", False),
        ({"stable": None, "stable_disk": False}, "first-release", True),
        ({"stable": B}, "same-as-stable", True),
        ({"stable_disk": False}, "no-stable-disk", False),
    ],
)
def test_the_reason_to_skip_it(facts, reason, lets_through) -> None:
    found = why_no_upgrade(UpgradeFacts(**TRIED | facts))
    assert (found and found.reason) == reason
    if found:
        assert (found.reason in config.TestingGate().allowed_skips) is lets_through


@pytest.mark.parametrize(
    ("status", "reason", "there"),
    [
        (CheckStatus.SKIPPED, "no-bootc: the guest finds no bootc program", False),
        (CheckStatus.SKIPPED, "not-configured: no digest is expected", True),
        (CheckStatus.PASSED, "sha256:…", True),
    ],
)
def test_the_candidates_own_boot_tells_whether_it_has_bootc(status, reason, there) -> None:
    assert has_bootc([Check(name="bootc-digest", status=status, reason=reason, required=False)]) is there
    assert has_bootc([Check(name="aarch64/bootc-digest", status=status, reason=reason)], "aarch64") is there
    assert not has_bootc([Check(name="aarch64/bootc-digest", status=status, reason=reason)], "x86_64")
