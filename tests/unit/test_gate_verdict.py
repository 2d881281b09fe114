"""A gate passes only by checks that passed."""

import pytest

from pipeline.domain import Outcome
from pipeline.policy.gate import verdict
from pipeline.report.model import Check


def check(status, *, required=True, name="units"):
    return Check(name=name, status=status, required=required, reason="found x, expected y")


@pytest.mark.parametrize(
    ("checks", "outcome"),
    [
        ([], Outcome.INFRA),
        ([check("passed", required=False)], Outcome.INFRA),
        ([check("passed")], Outcome.PASSED),
        ([check("passed"), check("waived")], Outcome.PASSED),
        ([check("passed"), check("failed", required=False)], Outcome.PASSED),
        ([check("passed"), check("skipped", required=False)], Outcome.PASSED),
        ([check("passed"), check("skipped")], Outcome.GATE_FAILED),
        ([check("failed"), check("infra")], Outcome.GATE_FAILED),
        ([check("passed"), check("infra")], Outcome.INFRA),
    ],
)
def test_skipped_or_broken_is_never_passed(checks, outcome):
    assert verdict(checks)[0] is outcome


def test_the_reason_names_the_first_check_and_counts_the_others():
    _, reason = verdict([check("failed"), check("failed", name="services")])
    assert reason == "units failed: found x, expected y (and 1 more: services)"


def test_a_check_that_only_advises_is_named_when_it_found_something():
    _, reason = verdict([check("passed"), check("failed", required=False, name="size-change")])
    assert reason == "1 checks passed, advice from: size-change"
