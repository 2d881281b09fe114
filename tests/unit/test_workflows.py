"""The GitHub workflows only call the pipeline, with as few rights as they need, and hand outside text over by env."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.commands.run_stage import STAGES

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
STAGE = WORKFLOWS / "stage.yml"
FILTERS = {"test-qemu": "v[0-9]+.[0-9]+.[0-9]+-test*", "release-stable": "v[0-9]+.[0-9]+.[0-9]+"}
CALLS = {
    "build-next": ("build-next", "write"),
    "refresh-next": ("build-next", "write"),
    "pull-request": ("gate-next", "read"),
    "test-qemu": ("promote-testing", "write"),
    "release-stable": ("promote-stable", "write"),
    "channels": ("verify", "read"),
    "prune": ("prune", "write"),
}
"""What each workflow is for, and what it may do to packages."""
LINES = 25
"""At most so many has a workflow of another repository."""

Workflow = dict[str, Any]


def _read(path: Path) -> Workflow:
    # The base loader keeps `on` a word.
    return yaml.load(path.read_text(), Loader=yaml.BaseLoader)


@pytest.fixture(params=CALLS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def workflow(name: str) -> Workflow:
    return _read(WORKFLOWS / f"{name}.yml")


@pytest.fixture
def job(workflow: Workflow) -> Workflow:
    (only,) = workflow["jobs"].values()
    return only


@pytest.fixture
def stage() -> Workflow:
    return _read(STAGE)["jobs"]["stage"]


def _matches(pattern: str, tag: str) -> bool:
    """GitHub's filter patterns, as far as ours use them: `+` repeats, `*` is anything without a slash, `.` itself."""
    return re.fullmatch(pattern.replace(".", r"\.").replace("*", "[^/]*"), tag) is not None


def test_every_workflow_file_is_looked_at() -> None:
    assert {path.stem for path in WORKFLOWS.glob("*.y*ml")} == {*CALLS, "stage", "real"}


def test_every_action_is_pinned_to_a_commit() -> None:
    uses = re.findall(r"uses: (\S+)(.*)", STAGE.read_text() + (WORKFLOWS / "real.yml").read_text())
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action}: the version belongs behind the commit"


def test_another_repository_writes_no_more_than_a_few_lines(name: str) -> None:
    assert len((WORKFLOWS / f"{name}.yml").read_text().splitlines()) <= LINES


def test_a_workflow_only_calls_its_stage(name: str, job: Workflow) -> None:
    known = _read(STAGE)["on"]["workflow_call"]["inputs"]
    assert job["uses"] == "./.github/workflows/stage.yml"
    assert job["with"]["stage"] == CALLS[name][0]
    assert job["with"]["module"] == "."
    assert set(job["with"]) <= set(known)
    assert job["with"]["stage"] in (*STAGES, "prune")


def test_rights_are_nothing_but_what_the_job_needs(name: str, workflow: Workflow, job: Workflow) -> None:
    assert workflow["permissions"] == {}
    assert job["permissions"] == {"contents": "read", "packages": CALLS[name][1]}
    passed_on = {key: f"${{{{ secrets.{key} }}}}" for key in ("OPENQA_AUTH", "UPLOAD_AUTH")}
    assert job.get("secrets", {}) == (passed_on if name == "release-stable" else {})


@pytest.mark.parametrize("name", ["build-next", "test-qemu", "release-stable"], indirect=True)
def test_the_trigger_is_what_the_stage_is_for(name: str, workflow: Workflow) -> None:
    expected = {"tags": [FILTERS[name]]} if name in FILTERS else {"branches": ["main"]}
    assert workflow["on"] == {"push": expected}


def test_every_night_a_commit_is_built_again_when_its_base_has_changed() -> None:
    nightly = _read(WORKFLOWS / "refresh-next.yml")
    assert nightly["on"] == {"schedule": [{"cron": "41 3 * * *"}], "workflow_dispatch": ""}
    assert nightly["jobs"]["refresh-next"]["with"]["refresh"] == "auto"


def test_a_pull_request_runs_without_the_rights_of_the_base() -> None:
    assert set(_read(WORKFLOWS / "pull-request.yml")["on"]) == {"pull_request"}


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


def test_nothing_is_pruned_without_a_word_from_somebody(stage: Workflow) -> None:
    prune = _read(WORKFLOWS / "prune.yml")
    assert prune["on"]["workflow_dispatch"]["inputs"]["confirm"]["default"] == "false"
    assert prune["jobs"]["prune"]["with"]["confirm"] == "${{ inputs.confirm || false }}"
    (step,) = [step for step in stage["steps"] if step.get("name") == "Run the stage"]
    assert step["env"]["CONFIRM"] == "${{ inputs.confirm }}"
    assert '--confirm="$CONFIRM"' in step["run"]


def test_runs_queue_and_are_never_cancelled(stage: Workflow) -> None:
    assert stage["concurrency"]["queue"] == "max"
    assert stage["concurrency"]["cancel-in-progress"] == "false"
    assert "inputs.stage" in stage["concurrency"]["group"]


def test_the_rights_are_the_callers(stage: Workflow) -> None:
    assert "permissions" not in stage
    assert "permissions" not in _read(STAGE)


def test_the_checkout_brings_history_and_leaves_no_credentials(stage: Workflow) -> None:
    (step,) = [step for step in stage["steps"] if "actions/checkout@" in step.get("uses", "")]
    assert step["with"] == {"ref": "${{ inputs.branch }}", "fetch-depth": "0", "persist-credentials": "false"}


def test_no_expression_reaches_a_shell(stage: Workflow) -> None:
    for step in stage["steps"]:
        assert "${{" not in step.get("run", "")


def test_a_github_release_is_made_only_when_asked_for(stage: Workflow) -> None:
    assert _read(STAGE)["on"]["workflow_call"]["inputs"]["github-release"]["default"] == "false"
    (step,) = [step for step in stage["steps"] if "gh release" in step.get("run", "")]
    assert step["if"] == "inputs.stage == 'notes' && inputs.github-release"
    assert {name for name in step["env"] if "secrets." in step["env"][name]} == set()
    writing = [step for step in stage["steps"] if "GH_TOKEN" in step.get("env", {})]
    assert writing == [step]


def test_the_notes_job_of_the_papers_is_one_that_the_workflow_takes() -> None:
    (told,) = re.findall(r"```yaml\n(  notes:\n.*?)```", (ROOT / "docs" / "github.md").read_text(), re.DOTALL)
    job = yaml.load(told, Loader=yaml.BaseLoader)["notes"]
    assert job["permissions"] == {"contents": "write", "packages": "read"}
    assert set(job["with"]) <= set(_read(STAGE)["on"]["workflow_call"]["inputs"])
    assert "secrets" not in job
    assert job["needs"] in _read(WORKFLOWS / "release-stable.yml")["jobs"]


def test_only_who_signs_without_a_key_asks_for_an_identity(stage: Workflow) -> None:
    """GitHub sets the address only in a job with `id-token: write`, which a caller gives or does not."""
    assert not [path.name for path in WORKFLOWS.glob("*.yml") if "id-token" in path.read_text()]
    (script,) = [step["run"] for step in stage["steps"] if "--identity-token=" in step.get("run", "")]
    (asked,) = re.findall(r"if (.*); then\n +export IDENTITY=", script)
    assert asked == '[ "$STAGE" != gate-next ] && [ -z "$SIGNING_KEY" ] && [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ]'


def test_secrets_reach_only_the_stage_that_needs_them(stage: Workflow) -> None:
    (step,) = [step for step in stage["steps"] if step.get("name") == "Run the stage"]
    secrets = {name: text for name, text in step["env"].items() if "secrets." in text or "token" in text}
    assert set(secrets) == {
        *("OPENQA_AUTH", "UPLOAD_AUTH", "BUILD_SECRETS", "API_TOKEN"),
        *("SIGNING_KEY", "SIGNING_PASSWORD"),
    }
    assert all(
        text.startswith(("${{ inputs.stage == '", "${{ inputs.stage != 'gate-next'")) for text in secrets.values()
    )
    (login,) = [step for step in stage["steps"] if step.get("name") == "Log in to the registry"]
    assert login["if"] == "inputs.stage != 'gate-next'"
    assert not re.search(r"--[\w-]+-auth=(?!env://|\"?file://)", step["run"])


def test_the_report_is_kept_also_after_a_failure(stage: Workflow) -> None:
    keep = stage["steps"][-1]
    assert keep["uses"].startswith("actions/upload-artifact@")
    assert keep["if"] == "always()"


def test_the_engine_is_that_of_the_module(stage: Workflow) -> None:
    (step,) = [step for step in stage["steps"] if "dagger-for-github@" in step.get("uses", "")]
    assert f'"engineVersion": "{step["with"]["version"]}"' in (ROOT / "dagger.json").read_text()
    assert "call" not in step["with"], "one call, made by the step that shows its summary"
