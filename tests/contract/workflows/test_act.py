"""The workflows, run by act as GitHub would; dagger is a script that says how the stage ended."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "ci"))

from rehearsal.act import Act, Run
from rehearsal.lab import MODULE
from rehearsal.repository import Repository

PASSWORD, OPENQA, UPLOAD = "canary-registry", "canary-key:canary-secret", "canary-user:canary-password"
SECRETS = {"GITHUB_TOKEN": PASSWORD, "OPENQA_AUTH": OPENQA, "UPLOAD_AUTH": UPLOAD}
DAGGER = r"""
given=" $* "
case $given in *file://*) auth=${given#*file://}; cat "${auth%% *}" > "$(dirname "$0")/auth" ;; esac
bin=$(dirname "$0")
case $given in *" notes "*)
  printf '#!/bin/bash\necho "gh $*"; [ "$2" != view ]\n' > "$bin/gh"
  chmod +x "$bin/gh" ;;
esac
case $given in *" export "*) ;; *) echo "the text of $*"; exit 0 ;; esac
report=${given##*--path=}; report=${report% }; mkdir -p "$report"
case $given in *--tag=v9.9.9*) code=1 said=failed ;; *--tag=v6.6.6*) exit 17 ;; *) code=0 said=passed ;; esac
echo "# $said" > "$report/summary.md"
echo $code > "$report/exit-code"
"""


@pytest.fixture(scope="module")
def act(tmp_path_factory: pytest.TempPathFactory) -> Act:
    repository = Repository.create(tmp_path_factory.mktemp("user") / "os", "registry:5500/owner/os")
    act = Act(repository, tmp_path_factory.mktemp("runs"), DAGGER)
    act.adopt(images="one two", registry="registry:5500")
    repository.commit("Adopt the pipeline")
    return act


def _words(run: Run) -> list[str]:
    (call,) = run.calls
    return call


def _auth(run: Run) -> str:
    found = run.reports.parent / "bin" / "auth"
    return found.read_text() if found.exists() else ""


def test_a_push_to_main_runs_build_next_and_keeps_its_report(act: Act) -> None:
    run = act.run("push", "build-next", {"ref": "refs/heads/main"}, SECRETS)
    assert run.exit_code == 0, run.log
    assert {"run-stage", "--stage=build-next", "--tag=", "--image=one", "--image=two"} <= set(_words(run))
    assert run.report("build-next", "summary.md") == "# passed\n"
    assert "registry:5500" in _auth(run)
    assert "Summary - # passed" in run.log


@pytest.mark.parametrize(
    ("workflow", "tag", "stage"),
    [("test-qemu", "v1.2.3-test.2", "promote-testing"), ("release-stable", "v1.2.3", "promote-stable")],
)
def test_a_tag_is_promoted_with_the_secrets_of_its_stage_alone(act: Act, workflow: str, tag: str, stage: str) -> None:
    run = act.run("push", workflow, {"ref": f"refs/tags/{tag}"}, SECRETS)
    assert run.exit_code == 0, run.log
    assert {f"--stage={stage}", f"--tag={tag}"} <= set(_words(run))
    assert ("--openqa-auth=env://OPENQA_AUTH" in _words(run)) == (stage == "promote-stable")
    assert not [word for word in _words(run) if "canary" in word]


def test_a_gate_that_fails_is_a_red_job_with_its_report(act: Act) -> None:
    run = act.run("push", "test-qemu", {"ref": "refs/tags/v9.9.9-test"}, SECRETS)
    assert run.exit_code == 1
    assert "exit status 1" in run.log
    assert run.report("promote-testing", "summary.md") == "# failed\n"
    assert "Summary - # failed" in run.log


def test_a_call_that_breaks_off_is_a_red_job(act: Act) -> None:
    run = act.run("push", "test-qemu", {"ref": "refs/tags/v6.6.6-test"}, SECRETS)
    assert run.exit_code == 1
    assert "Summary" not in run.log


def test_a_pull_request_from_a_fork_is_built_without_login_and_pushes_nothing(act: Act) -> None:
    run = act.run("pull_request", "pull-request", {"pull_request": {"head": {"ref": "patch", "repo": {"fork": True}}}})
    assert run.exit_code == 0, run.log
    assert "--stage=gate-next" in _words(run)
    assert not [word for word in _words(run) if "-auth" in word]
    assert not _auth(run)


def test_every_day_the_channels_are_shown_and_verified(act: Act) -> None:
    run = act.run("schedule", "channels", {}, SECRETS)
    assert run.exit_code == 0, run.log
    shown, verified = run.calls
    assert "status" in shown
    assert "--stage=verify" in verified
    assert "the text of" in run.log


@pytest.mark.parametrize(("payload", "confirm"), [({}, "false"), ({"inputs": {"confirm": "true"}}, "true")])
def test_prune_deletes_when_somebody_said_so(act: Act, payload: dict[str, object], confirm: str) -> None:
    run = act.run("workflow_dispatch" if payload else "schedule", "prune", payload, SECRETS)
    assert run.exit_code == 0, run.log
    assert {"prune", "--token=env://API_TOKEN", f"--confirm={confirm}"} <= set(_words(run))
    assert run.report("prune", "summary.md").startswith("the text of")


def _job(name: str) -> str:
    """One of docs/github.md, on its own."""
    (job,) = re.findall(
        rf"^(  {name}:\n.*?)^(?:  \w|```)", (MODULE / "docs" / "github.md").read_text(), re.DOTALL | re.MULTILINE
    )
    job = job.replace("OWNER/REPO/.github/workflows/stage.yml@VERSION", "./.github/workflows/stage.yml")
    return job.replace("    needs: promote-stable\n", "") + "      registry: registry:5500\n"


def test_the_board_is_handed_to_pages(act: Act) -> None:
    act.repository.write(
        ".github/workflows/board.yml", f"on:\n  schedule: [{{cron: 1 1 * * *}}]\njobs:\n{_job('board')}"
    )
    run = act.run("schedule", "board", {}, {"GITHUB_TOKEN": PASSWORD})
    assert run.exit_code == 0, run.log
    assert {"board", "export"} <= set(_words(run))
    assert (run.reports / "github-pages" / "exit-code").exists()
    assert "Where the channels stand" in run.report("board", "summary.md")


def test_the_notes_become_a_github_release_of_the_tag(act: Act) -> None:
    """The job of docs/github.md; `gh` is a script that knows of no release."""
    job = _job("notes")
    act.repository.write(".github/workflows/notes.yml", f"on:\n  push:\n    tags: [v*]\njobs:\n{job}")
    run = act.run("push", "notes", {"ref": "refs/tags/v1.2.3"}, {"GITHUB_TOKEN": PASSWORD})
    assert run.exit_code == 0, run.log
    assert {"notes", "--tag=v1.2.3"} <= set(_words(run))
    assert re.search(r"gh release create v1\.2\.3 --verify-tag --title v1\.2\.3 --notes-file \S+/summary\.md", run.log)
    assert run.report("notes", "summary.md").startswith("the text of")
    assert PASSWORD not in run.log


def test_no_secret_is_in_a_log(act: Act) -> None:
    run = act.run("push", "release-stable", {"ref": "refs/tags/v1.2.3"}, SECRETS)
    assert not [secret for secret in SECRETS.values() if secret in run.log]


@pytest.mark.parametrize(("tag", "code", "said"), [("v1.2.3", 0, "# passed"), ("v9.9.9", 1, "# failed")])
def test_without_any_ci_a_script_does_the_same(act: Act, tmp_path: Path, tag: str, code: int, said: str) -> None:
    tool = tmp_path / "dagger"
    tool.write_text(f"#!/bin/bash\n{DAGGER}")
    tool.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "MODULE": "m", "REGISTRY_AUTH": PASSWORD}
    done = subprocess.run(
        [MODULE / "docs" / "ci" / "release", "promote-stable", tag],
        cwd=act.repository.path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert said in (act.repository.path / "report" / "summary.md").read_text()
    assert PASSWORD not in done.stdout + done.stderr


def test_secrets_of_a_build_are_handed_over_by_reference(act: Act) -> None:
    own = act.repository.path / ".github" / "workflows" / "build-next.yml"
    caller = own.read_text() + "    secrets:\n      BUILD_SECRETS: ${{ secrets.BUILD_SECRETS }}\n"
    act.repository.write(".github/workflows/with-secrets.yml", caller)
    given = {"BUILD_SECRETS": '"TOKEN=canary=one\nRHSM=canary-two"'}
    run = act.run("push", "with-secrets", {"ref": "refs/heads/main"}, SECRETS | given)
    assert run.exit_code == 0, run.log
    words = " ".join(_words(run))
    assert re.search(
        r"with-build-secret --name=TOKEN --value=file://\S+ with-build-secret --name=RHSM .* run-stage", words
    )
    assert "canary" not in words


@pytest.mark.parametrize(
    ("event", "ref", "stage"),
    [
        ("push", "refs/heads/main", "build-next"),
        ("push", "refs/tags/v1.2.3-test", "promote-testing"),
        ("push", "refs/tags/v1.2.3", "promote-stable"),
        ("schedule", "", "verify"),
        ("pull_request", "", "gate-next"),
    ],
)
def test_the_file_for_forgejo_runs_the_same_stages(act: Act, event: str, ref: str, stage: str) -> None:
    act.repository.write(".github/workflows/forgejo.yml", (MODULE / "docs" / "ci" / "forgejo.yml").read_text())
    given = {} if event == "pull_request" else {**SECRETS, "REGISTRY_AUTH": PASSWORD}
    run = act.run(event, "forgejo", {"ref": ref} if ref else {}, given)
    assert run.exit_code == 0, run.log
    assert f"--stage={stage}" in _words(run)
    assert any("auth" in word for word in _words(run)) == (stage != "gate-next")
