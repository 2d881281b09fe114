import re

from pipeline.domain import Outcome
from pipeline.report.model import Check, CheckStatus
from pipeline.report.summary import summary


def test_the_first_line_is_the_outcome_and_the_reason(make, failed) -> None:
    text = summary(make(Outcome.GATE_FAILED, failed, reason="units: greeting.service failed. Expected none."))
    assert text.splitlines()[0] == "# gate failed · promote-testing v1.2.3-test: units: greeting.service failed"
    assert "What to do next" in text


def test_moves_show_twelve_digits_of_old_and_new(make) -> None:
    text = summary(make())
    assert "| ghcr.io/tuna-os/yellowfin:testing | bbbbbbbbbbbb | aaaaaaaaaaaa |" in text
    assert "| ghcr.io/tuna-os/yellowfin:v1.2.3-test | (new) | aaaaaaaaaaaa |" in text


def test_advice_does_not_look_like_a_failure(make, advice) -> None:
    text = summary(make(Outcome.PASSED, advice))
    assert "| size-change | △ advice |" in text
    assert "failed" not in text


def test_the_output_of_a_failed_check_is_shown_and_of_a_passed_one_not(make, failed) -> None:
    passed = Check(name="kernel", status=CheckStatus.PASSED, output="6.1.0 and much more")
    text = summary(make(Outcome.GATE_FAILED, passed, failed))
    assert "```text\ngreeting.service: exited, status=1\n```" in text
    assert "much more" not in text


def test_what_the_image_prints_cannot_leave_its_place(make) -> None:
    evil = Check(
        name="a|b",
        status=CheckStatus.FAILED,
        reason="<img src=x> | [click](http://evil) `code` *bold*\n| row |",
        output="```\n# not a heading\n````",
    )
    text = summary(make(Outcome.GATE_FAILED, evil))
    row = next(line for line in text.splitlines() if line.startswith("| a"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert "<img" not in text
    assert "](" not in text.replace(r"\](", "")
    assert "`````text\n" in text


def test_a_result_with_nothing_but_a_reason_is_still_a_document(make) -> None:
    text = summary(make(Outcome.USAGE, reason="Bad tag.", plan=[], timeline=[], digest=None, inputs={}))
    assert "## Plan" not in text
    assert "| exit code | 2 |" in text
