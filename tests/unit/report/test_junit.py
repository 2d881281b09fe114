from xml.etree import ElementTree as ET

import pytest

from pipeline.domain import Outcome
from pipeline.report.junit import junit
from pipeline.report.model import Check, CheckStatus


def _case(document: str, name: str) -> ET.Element:
    found = ET.fromstring(document).find(f".//testcase[@name='{name}']")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("status", "required", "kind"),
    [
        (CheckStatus.PASSED, True, None),
        (CheckStatus.FAILED, True, "failure"),
        (CheckStatus.FAILED, False, "skipped"),
        (CheckStatus.WAIVED, True, "skipped"),
        (CheckStatus.SKIPPED, True, "error"),
        (CheckStatus.SKIPPED, False, "skipped"),
        (CheckStatus.INFRA, True, "error"),
        (CheckStatus.INFRA, False, "skipped"),
    ],
)
def test_each_status_is_shown_for_what_it_means(make, status: CheckStatus, required: bool, kind: str | None) -> None:
    check = Check(name="units", status=status, required=required, reason="why", output="printed")
    case = _case(junit(make(Outcome.PASSED, check)), "units")
    marks = [child.tag for child in case if child.tag != "system-out"]
    assert marks == ([kind] if kind else [])
    assert case.findtext("system-out") == "printed"
    if kind:
        assert "why" in case.find(kind).attrib["message"]


def test_advice_is_no_failure_of_a_run_that_passed(make, advice) -> None:
    root = ET.fromstring(junit(make(Outcome.PASSED, advice)))
    assert (root.attrib["failures"], root.attrib["skipped"]) == ("0", "1")
    assert root.find(".//skipped").attrib["message"] == "advice: grew by 9 %"


def test_counts_agree_with_the_cases(make, failed) -> None:
    skipped = Check(name="selinux", status=CheckStatus.SKIPPED, required=False)
    root = ET.fromstring(junit(make(Outcome.GATE_FAILED, failed, skipped)))
    assert {key: root.attrib[key] for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "2",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome.exit_code])
def test_a_bad_end_is_never_a_green_file(make, outcome: Outcome) -> None:
    document = junit(make(outcome, Check(name="kernel", status=CheckStatus.PASSED), reason="It broke."))
    assert _case(document, "outcome").findtext("error") == "It broke."
    assert ET.fromstring(document).attrib["errors"] == "1"


def test_a_failed_check_needs_no_second_case(make, failed) -> None:
    assert "outcome</" not in junit(make(Outcome.GATE_FAILED, failed))
    assert ET.fromstring(junit(make(Outcome.GATE_FAILED, failed))).attrib["tests"] == "1"


def test_console_bytes_make_valid_xml(make) -> None:
    check = Check(name="console", status=CheckStatus.FAILED, reason="\x00\x1b[1mboom\x1b[0m", output="\x01]]>\ud800<a>")
    assert _case(junit(make(Outcome.GATE_FAILED, check)), "console").findtext("system-out") == "]]>?<a>"
