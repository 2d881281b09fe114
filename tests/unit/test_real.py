"""`ci/test real`: its steps and its judgement, with calls that are answered here."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "ci"))

from rehearsal import real, registry
from rehearsal.calls import Answer
from rehearsal.progress import Progress
from rehearsal.real import MUST_PASS, Parts, RealError, differences, judge, not_seen, rehearse

from pipeline.config import parse

REAL = Parts("real", "quay.io/centos-bootc/centos-bootc:stream10", "quay.io/b/builder:latest", ("--type", "qcow2"))
NEWER = Parts("newer", "registry:5500/lab/tiny-os:trixie")
WORKFLOW = Path(__file__).parents[2] / ".github" / "workflows" / "real.yml"


class Calls:
    """Stands in for the pipeline: every call passes, and a report has these checks."""

    fails = ""

    def __init__(self, source: Path, logs: Path, **_: Any) -> None:
        self.source, self.logs = source, logs
        made.append(self)
        self.called: list[tuple[str, ...]] = []

    def call(self, *arguments: str, log: str = "") -> Answer:
        self.called.append(arguments)
        if arguments[0] == "evidence":
            report = Path(arguments[-1])
            report.mkdir()
            checks = [{"name": name, "status": "passed", "reason": ""} for name in MUST_PASS]
            checks.append({"name": "usr", "status": "skipped", "reason": "not-promised: no deployment"})
            (report / "result.json").write_text(json.dumps({"checks": checks}))
        return Answer(1 if arguments[0] == self.fails else 0, "gate failed · ...", 1.0)

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


made: list[Calls] = []


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What was written to the registry by hand."""
    there: list[tuple[str, str]] = []
    made.clear()
    monkeypatch.setattr(real, "Pipeline", Calls)
    monkeypatch.setattr(registry, "manifest", lambda image, tag: tag.encode())
    monkeypatch.setattr(registry, "put", lambda image, tag, content: there.append((tag, content.decode())))
    monkeypatch.setattr(Calls, "fails", "")
    return there


def rehearsed(parts: Parts, out: Path) -> dict[str, str]:
    return rehearse(parts, out, Progress(), lambda log: nullcontext())


def test_two_candidates_go_through_and_the_first_is_stable_when_the_second_comes(
    written: list[tuple[str, str]], tmp_path: Path
) -> None:
    checks = rehearsed(REAL, tmp_path)
    judge(checks)
    (calls,) = made
    assert [call[0] for call in calls.called if call[0] != "evidence"] == ["build-next", "promote-testing"] * 2
    assert written == [("stable", "v1.0.0-test")]
    assert checks["2 testing upgrade"] == "passed"
    assert checks["1 next usr"] == "skipped (not-promised)"


@pytest.mark.parametrize("parts", [Parts("lab"), NEWER, REAL], ids=lambda parts: parts.name)
def test_the_repository_is_built_with_what_was_named(
    parts: Parts, written: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look(calls: Calls, *arguments: str, log: str = "") -> Answer:
        seen.append((calls.source / "pipeline.toml").read_text())
        seen.append(str((calls.source / "os/usr/bin/bootc").exists()))
        return Answer(6, "", 0.0)

    monkeypatch.setattr(Calls, "call", look)
    with pytest.raises(RealError, match="build-next ended with 6"):
        rehearsed(parts, tmp_path)
    config, scripted = parse(seen[0]), seen[1]
    gate = config.gates.testing
    assert (config.images["sample-os"].build_args["BASE"], gate.builder.image) == (parts.base, parts.builder)
    assert (scripted, gate.bus) == (("True", "nvme") if parts.suite else ("False", "virtio"))
    assert parts.suite or gate.builder.args == parts.arguments


def test_a_call_that_does_not_pass_ends_it(
    written: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Calls, "fails", "promote-testing")
    with pytest.raises(RealError, match="promote-testing ended with 1"):
        rehearsed(REAL, tmp_path)
    assert written == []


def test_what_differs_is_a_line_each() -> None:
    lab, there = (
        {"a": "passed", "b": "skipped (no-bootc)", "c": "passed"},
        {"a": "passed", "b": "passed", "d": "failed"},
    )
    title, *lines = differences(lab, there)
    assert title.split() == ["check", "in", "the", "lab", "with", "the", "real", "programs"]
    assert [line.split() for line in lines] == [
        ["b", "skipped", "(no-bootc)", "passed"],
        ["c", "passed", "is", "not", "made"],
        ["d", "is", "not", "made", "failed"],
    ]
    assert differences(lab, lab) == []


def test_an_upgrade_that_was_skipped_was_not_seen() -> None:
    checks = {f"2 testing {name}": "passed" for name in MUST_PASS}
    assert not_seen(checks) == []
    with pytest.raises(RealError, match=r"upgrade: skipped \(no-bootc\)"):
        judge(checks | {"2 testing upgrade": "skipped (no-bootc)"})


def test_it_runs_every_week_with_what_it_takes() -> None:
    workflow = yaml.load(WORKFLOW.read_text(), Loader=yaml.BaseLoader)
    assert workflow["on"]["schedule"][0]["cron"].split()[4] != "*"
    assert workflow["permissions"] == {}
    (job,) = workflow["jobs"].values()
    (run,) = [step["run"] for step in job["steps"] if "ci/test real" in step.get("run", "")]
    words = run.split("--", 1)[1].split()
    arguments = dict(zip(words[::2], words[1::2], strict=True))
    assert arguments["--builder"].startswith("quay.io/centos-bootc/bootc-image-builder")
    assert arguments["--base"].startswith("quay.io/centos-bootc/centos-bootc")
