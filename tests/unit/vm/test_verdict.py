"""What findings, skips and waivers add up to."""

from datetime import date

import pytest

from pipeline.domain import Outcome
from pipeline.errors import InfrastructureError
from pipeline.policy.waivers import Waiver
from pipeline.report.model import Check, CheckStatus
from pipeline.vm.gate import verdict
from pipeline.vm.verdict import Found, Skipped, Waivers, judge

TODAY = date(2026, 11, 23)
BUG = "https://example.org/issues/12"


def waivers(*match: str, check: str = "units", until: date = date(2027, 1, 31)) -> Waivers:
    return Waivers([Waiver(check=check, match=text, bug=BUG, until=until) for text in match], TODAY)


def test_no_findings_is_passed() -> None:
    assert judge(["units"], Found(note="none failed"), waivers(), frozenset()).status is CheckStatus.PASSED


def test_a_finding_fails_and_the_reason_says_found_and_expected() -> None:
    check = judge(["units"], Found(["a.service failed"], "no failed units"), waivers(), frozenset())
    assert check.status is CheckStatus.FAILED
    assert check.reason == "a.service failed; expected no failed units"


def test_a_waiver_covers_its_finding_and_no_other() -> None:
    known = waivers("a.service")
    check = judge(["units"], Found(["a.service failed", "b.service failed"], "none"), known, frozenset())
    assert check.status is CheckStatus.FAILED
    assert check.reason == "b.service failed; expected none"
    assert BUG in check.output


@pytest.mark.parametrize("slow", ["(a+)+$", "(a|a)*b", r"(\w*)*!", "(?:.*.*)*b"])
def test_a_waiver_that_takes_for_ever_covers_nothing(monkeypatch: pytest.MonkeyPatch, slow: str) -> None:
    monkeypatch.setattr("pipeline.policy.waivers._LONGEST", 0.02)
    found = Found(["a" * 200 + "?", "b.service failed", "a" * 200 + "?"], "no failed units")
    check = judge(["units"], found, waivers(slow, "^b.service"), frozenset())
    assert check.status is CheckStatus.FAILED
    assert "b.service" not in check.reason


def test_when_all_findings_are_waived_so_is_the_check() -> None:
    check = judge(["units"], Found(["a.service failed"]), waivers("a.service"), frozenset())
    assert check.status is CheckStatus.WAIVED
    assert check.lets_through
    assert BUG in check.reason


def test_an_expired_waiver_fails_loudly() -> None:
    lapsed = waivers("a.service", until=date(2026, 11, 22))
    check = judge(["units"], Found(["a.service failed"], "none"), lapsed, frozenset())
    assert check.status is CheckStatus.FAILED
    assert "EXPIRED on 2026-11-22" in check.reason
    assert BUG in check.reason


def test_a_waiver_holds_on_its_last_day() -> None:
    assert judge(["units"], Found(["a"]), waivers("a", until=TODAY), frozenset()).status is CheckStatus.WAIVED


def test_a_check_may_be_waived_under_the_name_of_its_sibling() -> None:
    found = Found(["degraded by a.service"])
    assert judge(["system-state", "units"], found, waivers("a.service"), frozenset()).status is CheckStatus.WAIVED
    assert judge(["console"], found, waivers("a.service"), frozenset()).status is CheckStatus.FAILED


def test_waivers_that_covered_nothing_are_known() -> None:
    known = waivers("a.service", "gone.service")
    judge(["units"], Found(["a.service failed"]), known, frozenset())
    assert [waiver.match for waiver in known.unused()] == ["gone.service"]


def test_a_skip_lets_through_only_when_its_reason_is_allowed() -> None:
    skipped = Skipped("no-bootc", "the guest finds no bootc program")
    assert judge(["bootc-digest"], skipped, waivers(), frozenset({"no-bootc"})).lets_through
    refused = judge(["bootc-digest"], skipped, waivers(), frozenset())
    assert refused.status is CheckStatus.SKIPPED
    assert not refused.lets_through


def test_evidence_is_bounded() -> None:
    check = judge(["journal"], Found(["x" * 100] * 1000, output="y" * 10_000_000), waivers(), frozenset())
    assert len(check.output) < 20_000
    assert len(check.reason) < 1000


def a(name: str, status: CheckStatus, reason: str = "", *, required: bool = True) -> Check:
    return Check(name=name, status=status, reason=reason, required=required)


@pytest.mark.parametrize(
    ("checks", "outcome", "reason"),
    [
        ([a("boot", CheckStatus.PASSED)], Outcome.PASSED, "1 checks passed"),
        ([a("boot", CheckStatus.PASSED), a("u", CheckStatus.WAIVED)], Outcome.PASSED, "1 checks passed, waived: u"),
        ([a("u", CheckStatus.FAILED, "found; expected")], Outcome.GATE_FAILED, "u: found; expected"),
        ([a("u", CheckStatus.FAILED, "x", required=False)], Outcome.PASSED, "0 checks passed, advice from: u"),
        (
            [a("s", CheckStatus.SKIPPED, "not-run"), a("b", CheckStatus.FAILED, "panic")],
            Outcome.GATE_FAILED,
            "b: panic\nwithout a result: s",
        ),
    ],
)
def test_the_first_line_of_the_reason_is_the_cause(checks: list[Check], outcome: Outcome, reason: str) -> None:
    assert verdict(checks, None) == (outcome, reason)


def test_infrastructure_is_no_verdict_whatever_the_checks_say() -> None:
    stopped = InfrastructureError("QEMU ended")
    assert verdict([a("boot", CheckStatus.FAILED)], stopped) == (Outcome.INFRA, "QEMU ended")
