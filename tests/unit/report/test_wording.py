import pytest

from pipeline.domain import Outcome
from pipeline.report.model import Check, CheckStatus
from pipeline.report.wording import checks_text, explanation, headline, mark, moves_text, next_step, status_text


def test_the_headline_is_outcome_command_tag_and_first_sentence(make) -> None:
    result = make(Outcome.GATE_FAILED, reason="units: a.service failed. Expected none.")
    assert headline(result) == "gate failed · promote-testing v1.2.3-test: units: a.service failed"


def test_a_tag_in_the_command_is_not_said_twice(make) -> None:
    assert headline(make(command="promote-testing --tag v1.2.3-test")).count("v1.2.3-test") == 1


@pytest.mark.parametrize(("reason", "more"), [("One sentence.", ""), ("One. Two.", "One. Two."), ("a\nb", "a\nb")])
def test_the_reason_is_repeated_only_when_the_headline_has_not_said_it_all(make, reason: str, more: str) -> None:
    assert explanation(make(reason=reason)) == more


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_says_what_to_do_next(make, outcome: Outcome) -> None:
    assert next_step(make(outcome))
    assert moves_text(make(outcome))


@pytest.mark.parametrize("outcome", [Outcome.CONFLICT, Outcome.INFRA, Outcome.PARTIAL])
def test_nobody_is_told_that_nothing_moved_when_that_is_not_known(make, outcome: Outcome) -> None:
    assert "None" not in moves_text(make(outcome))


@pytest.mark.parametrize("command", ["plan", "gate-next", "gate-testing"])
def test_a_command_that_moves_nothing_does_not_claim_to_have_moved(make, command: str) -> None:
    assert moves_text(make(command=command)) == "Nothing was moved; these would be."


def test_checks_are_counted_by_status() -> None:
    checks = [Check(name=str(number), status=status) for number, status in enumerate(["passed", "passed", "infra"])]
    assert checks_text(checks) == "2 passed, 1 infra"


@pytest.mark.parametrize(
    ("status", "required", "said"),
    [
        (CheckStatus.FAILED, True, "✘ failed"),
        (CheckStatus.FAILED, False, "△ advice"),
        (CheckStatus.SKIPPED, False, "○ skipped (not required)"),
        (CheckStatus.INFRA, False, "! infra (not required)"),
    ],
)
def test_a_check_that_does_not_count_says_so(status: CheckStatus, required: bool, said: str) -> None:
    check = Check(name="a", status=status, required=required)
    assert f"{mark(check)} {status_text(check)}" == said


def test_advice_is_not_counted_among_what_failed(advice, failed) -> None:
    assert checks_text([advice, failed, advice]) == "1 failed, 2 advice"


@pytest.mark.parametrize("command", ["build-next", "promote-testing", "promote-stable"])
def test_a_gates_report_is_not_taken_for_the_promotion(make, command: str) -> None:
    assert "status shows" in next_step(make(command=command, plan=[]))
    assert "status shows" not in next_step(make(command=command))


def test_a_build_that_was_not_pushed_says_how_the_next_one_is(make) -> None:
    reason = "10 checks passed; not pushed: the tree differs from commit 111111111111 in 1 place (?? site/)"
    assert ".gitignore" in next_step(make(command="build-next", plan=[], reason=reason))


def test_doctor_leads_on(make) -> None:
    assert "build-next" in next_step(make(command="doctor"))


@pytest.mark.parametrize(("inputs", "offered"), [({"disk artifact": "sha256:1"}, True), ({"disk size": "1"}, False)])
def test_reproduce_is_offered_where_there_is_a_disk(make, inputs: dict[str, str], offered: bool) -> None:
    said = next_step(make(Outcome.GATE_FAILED, command="promote-testing", inputs=inputs, digest=f"sha256:{'1' * 64}"))
    assert ("dagger call reproduce --ref=sha256:1" in said) is offered
