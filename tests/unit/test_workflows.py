"""The GitHub workflows only call the pipeline, with as few rights as they need, and hand outside text over by env."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"
NAMES = ["build-next", "refresh-next", "test-qemu", "release-stable"]
FILTERS = {"test-qemu": "v[0-9]+.[0-9]+.[0-9]+-test*", "release-stable": "v[0-9]+.[0-9]+.[0-9]+"}
COMMANDS = {
    "build-next": "build-next",
    "refresh-next": "build-next",
    "test-qemu": "promote-testing",
    "release-stable": "promote-stable",
}
NIGHTLY = {"schedule": [{"cron": "41 3 * * *"}], "workflow_dispatch": ""}

Workflow = dict[str, Any]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def workflow(name: str) -> Workflow:
    # The base loader keeps `on` a word.
    return yaml.load((WORKFLOWS / f"{name}.yml").read_text(), Loader=yaml.BaseLoader)


@pytest.fixture
def job(workflow: Workflow) -> Workflow:
    (only,) = workflow["jobs"].values()
    return only


def _calls(job: Workflow) -> list[str]:
    return [step["with"]["call"] for step in job["steps"] if "dagger" in step.get("uses", "")]


def _matches(pattern: str, tag: str) -> bool:
    """GitHub's filter patterns, as far as ours use them: `+` repeats, `*` is anything without a slash, `.` itself."""
    return re.fullmatch(pattern.replace(".", r"\.").replace("*", "[^/]*"), tag) is not None


def test_every_workflow_file_is_looked_at() -> None:
    assert {path.stem for path in WORKFLOWS.glob("*.y*ml")} >= set(NAMES)


def test_every_action_of_every_workflow_is_pinned_to_a_commit() -> None:
    for path in WORKFLOWS.glob("*.y*ml"):
        uses = re.findall(r"uses: (\S+)(.*)", path.read_text())
        assert uses
        for action, comment in uses:
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action}: the version belongs behind the commit"


def test_the_trigger_is_what_the_stage_is_for(name: str, workflow: Workflow) -> None:
    expected = {"tags": [FILTERS[name]]} if name in FILTERS else {"branches": ["main"]}
    assert workflow["on"] == (NIGHTLY if name == "refresh-next" else {"push": expected})


@pytest.mark.parametrize(
    ("tag", "started"),
    [
        ("v1.2.3", "release-stable"),
        ("v10.20.30", "release-stable"),
        ("v1.2.3-test", "test-qemu"),
        ("v1.2.3-test.2", "test-qemu"),
        ("v1.2.3-rc1", None),
        ("1.2.3", None),
        ("v1.2", None),
    ],
)
def test_a_tag_starts_one_workflow_at_most(tag: str, started: str | None) -> None:
    assert [name for name, pattern in FILTERS.items() if _matches(pattern, tag)] == ([started] if started else [])


def test_nothing_is_pruned_without_a_word_from_somebody() -> None:
    prune = yaml.load((WORKFLOWS / "prune.yml").read_text(), Loader=yaml.BaseLoader)
    assert prune["on"]["workflow_dispatch"]["inputs"]["confirm"]["default"] == "false"
    (step,) = [step for step in prune["jobs"]["prune"]["steps"] if step.get("name") == "Prune"]
    assert step["env"]["CONFIRM"] == "${{ inputs.confirm || false }}"
    assert step["with"]["call"].endswith('--confirm="$CONFIRM"')


def test_rights_are_nothing_but_what_the_job_needs(workflow: Workflow, job: Workflow) -> None:
    assert workflow["permissions"] == {}
    assert job["permissions"] == {"contents": "read", "packages": "write"}


def test_runs_queue_and_are_never_cancelled(name: str, workflow: Workflow) -> None:
    group = "build-next" if name == "refresh-next" else name  # both write the candidates of a commit
    assert workflow["concurrency"] == {"group": group, "queue": "max", "cancel-in-progress": "false"}


def test_there_is_an_end_to_waiting(job: Workflow) -> None:
    assert 0 < int(job["timeout-minutes"]) <= 360


def test_the_checkout_brings_history_and_leaves_no_credentials(job: Workflow) -> None:
    assert job["steps"][0]["with"] == {"fetch-depth": "0", "persist-credentials": "false"}


def test_one_call_moves_tags(name: str, job: Workflow) -> None:
    calls = " ".join(_calls(job))
    assert {word for word in COMMANDS.values() if f" {word}" in calls} == {COMMANDS[name]}
    assert calls.count(f" {COMMANDS[name]}") == 1


def test_no_expression_reaches_a_shell(job: Workflow) -> None:
    for step in job["steps"]:
        assert "${{" not in step.get("run", "")
        assert "${{" not in str(step.get("with", {}))


def test_the_tag_is_handed_over_by_env(name: str, job: Workflow) -> None:
    if name in FILTERS:
        (step,) = [step for step in job["steps"] if COMMANDS[name] in step.get("with", {}).get("call", "")]
        assert step["env"]["TAG"] == "${{ github.ref_name }}"
        assert '--tag="$TAG"' in step["with"]["call"]


def test_calls_survive_the_quoting_of_the_action(job: Workflow) -> None:
    # dagger-for-github v8 puts the text between single quotes once and between double quotes once.
    for call in _calls(job):
        assert "'" not in call
        assert "\n" not in call
        assert all(" " not in quoted for quoted in call.split('"')[1::2])
        assert call.count('"') % 2 == 0


def test_secrets_are_given_by_reference(job: Workflow) -> None:
    for call in _calls(job):
        for argument in re.findall(r"--[\w-]+-auth=(\S+)", call):
            assert argument.strip('"').startswith(("env://", "file://"))


def test_every_call_names_its_module(job: Workflow) -> None:
    for step in job["steps"]:
        if "dagger" in step.get("uses", ""):
            assert step["with"]["module"] == "."
            assert step["with"]["enable-github-summary"] == "false"


def test_a_push_to_main_that_pushes_nothing_is_not_green() -> None:
    assert "build-next --must-push" in (WORKFLOWS / "build-next.yml").read_text()
    assert "build-next --refresh=auto --must-push" in (WORKFLOWS / "refresh-next.yml").read_text()


def test_the_report_is_kept_also_after_a_failure(job: Workflow) -> None:
    *_, fetch, show, keep = job["steps"]
    assert keep["uses"].startswith("actions/upload-artifact@")
    assert keep["if"] == "always()"
    assert show["if"].startswith("always()")
    assert fetch["if"].startswith("always()")
    assert any("evidence" in call and f"export --path={keep['with']['path']}" in call for call in _calls(job))


def test_all_calls_use_the_engine_version_of_the_module(job: Workflow) -> None:
    module = (WORKFLOWS.parents[1] / "dagger.json").read_text()
    for step in job["steps"]:
        if "dagger" in step.get("uses", ""):
            assert f'"engineVersion": "{step["with"]["version"]}"' in module
