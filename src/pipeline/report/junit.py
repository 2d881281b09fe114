"""junit.xml: the checks as GitHub, GitLab and Jenkins read them (junit-10.xsd of Jenkins' xunit plugin)."""

from xml.etree import ElementTree as ET

from pipeline.report.excerpt import bounded
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.report.wording import command_name, headline, status_text


def junit(result: Result) -> str:
    """One test case for each check.

    A required check that was skipped is an error, because skipped is not passed; a finding that does not count
    (waived, advice) shows as skipped with its reason. When no check says why the command ended badly, a test
    case `outcome` does: a file without a failure must mean success.
    """
    result = bounded(result)
    cases = [_case(check, command_name(result)) for check in result.checks]
    if result.exit_code and not any(
        case.find("failure") is not None or case.find("error") is not None for case in cases
    ):
        cases.append(_outcome(result))
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": f"{result.duration:.3f}",
    }
    suites = ET.Element("testsuites", {"name": "bootc-pipeline"} | counts)
    stamp = result.started.strftime("%Y-%m-%dT%H:%M:%S")
    suite = ET.SubElement(suites, "testsuite", {"name": _suite(result)} | counts | {"timestamp": stamp})
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(result).items():
        ET.SubElement(properties, "property", name=name, value=value)
    suite.extend(cases)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _suite(result: Result) -> str:
    return f"{result.command} {result.image}".strip()


def _properties(result: Result) -> dict[str, str]:
    named = {"outcome": result.outcome.value, "digest": result.digest, "commit": result.commit, "tag": result.tag}
    return {name: value for name, value in named.items() if value} | result.inputs


def _case(check: Check, command: str) -> ET.Element:
    case = ET.Element("testcase", classname=command, name=check.name, time=f"{check.duration:.3f}")
    match check.status:
        case CheckStatus.PASSED:
            pass
        case CheckStatus.WAIVED:
            _note(case, "skipped", f"waived: {check.reason}")
        case CheckStatus.SKIPPED if check.required:
            _note(case, "error", f"required, but did not run: {check.reason}")
        case CheckStatus.SKIPPED:
            _note(case, "skipped", check.reason)
        case _ if not check.required:
            _note(case, "skipped", f"{status_text(check)}: {check.reason}")
        case CheckStatus.INFRA:
            _note(case, "error", check.reason)
        case CheckStatus.FAILED:
            _note(case, "failure", check.reason)
    if check.output:
        ET.SubElement(case, "system-out").text = check.output
    return case


def _outcome(result: Result) -> ET.Element:
    case = ET.Element("testcase", classname=command_name(result), name="outcome", time="0.000")
    _note(case, "error", headline(result), result.reason)
    return case


def _note(case: ET.Element, kind: str, message: str, text: str = "") -> None:
    ET.SubElement(case, kind, message=message).text = text or message
