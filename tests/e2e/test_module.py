"""Another module depends on this one, and reads its objects."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from rehearsal import registry
from rehearsal.lab import MODULE, REGISTRY, REGISTRY_AUTH

OTHER = MODULE / "tests" / "module"


def _call(repository, logs: Path, *function: str):
    services = [f"--source={repository.path}", f"--registry=tcp://localhost:{REGISTRY}", "--auth=env://REGISTRY_AUTH"]
    with (logs / f"module-{function[0]}.log").open("wb") as log:
        answer = subprocess.run(
            ["dagger", "--progress=plain", "call", "-m", str(OTHER), function[0], *services, *function[1:]],
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"REGISTRY_AUTH": REGISTRY_AUTH},
            check=True,
            text=True,
        )
    return json.loads(answer.stdout)


def test_a_result_is_read_field_by_field_and_leads_to_candidate_and_evidence(repository, logs):
    found = _call(repository, logs, "build", "--image=sample-os")
    assert (found["outcome"], found["exitCode"], found["commit"]) == ("PASSED", 0, repository.head())
    assert "next" in [move["tag"] for move in found["moves"]]
    assert {check["status"] for check in found["checks"]} <= {"PASSED", "SKIPPED", "WAIVED"}
    candidate = found["candidate"]
    assert candidate["digest"] == found["digest"] == registry.digest(repository.image, "next")
    assert candidate["revision"] == repository.head()
    assert (candidate["evidence"]["outcome"], candidate["evidence"]["gate"]) == ("PASSED", "NEXT")
    assert {"result.json", "report.html", "junit.xml", "summary.md"} <= set(candidate["evidence"]["files"]["entries"])


def test_what_does_not_pass_is_an_answer_of_the_twin_and_an_error_of_the_command(repository, logs):
    found = _call(repository, logs, "gate", "--tag=v9.9.9-test")
    assert found == {"outcome": "PRECONDITION", "exitCode": 3, "error": 3}


@pytest.mark.thorough
def test_another_dagger_is_tried_by_the_script_that_does_so():
    told = subprocess.run([MODULE / "ci/engine/try"], capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    assert [line.split()[0] for line in told.stdout.splitlines()[1:]] == ["ok"] * 4
