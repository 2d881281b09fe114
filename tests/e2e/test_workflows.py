"""The workflows as act runs them, with the real pipeline in the lab."""

import json
import shutil

import pytest
from rehearsal import registry
from rehearsal.act import Act
from rehearsal.calls import LAB_SERVICES
from rehearsal.lab import OPENQA_AUTH, STORE_AUTH

SECRETS = {"GITHUB_TOKEN": "canary-registry-password", "OPENQA_AUTH": OPENQA_AUTH, "UPLOAD_AUTH": STORE_AUTH}


@pytest.fixture(scope="module")
def act(repository, tmp_path_factory):
    """The workflows in the user's repository; their dagger reaches the lab."""
    lab = " ".join(LAB_SERVICES)
    dagger = f'for word; do words+=("$word"); [ "$word" != call ] || words+=({lab}); done\n'
    act = Act(repository, tmp_path_factory.mktemp("act"), f'{dagger}exec {shutil.which("dagger")} "${{words[@]}}"')
    act.adopt(registry="registry:5500")
    repository.commit("Adopt the pipeline")
    return act


def _tags(repository):
    return {tag: registry.digest(repository.image, tag) for tag in registry.tags(repository.image)}


def test_a_push_to_main_moves_next_and_a_pull_request_from_a_fork_moves_nothing(act, repository):
    run = act.run("push", "build-next", {"ref": "refs/heads/main"}, SECRETS)
    assert run.exit_code == 0, run.log
    assert registry.digest(repository.image, "next") == registry.digest(repository.image, repository.head())
    assert json.loads(run.report("build-next", "result.json"))["commit"] == repository.head()
    before = _tags(repository)

    repository.check_out("--detach")
    repository.write("os/usr/share/sample-os/note", "from a fork\n")
    commit = repository.commit("A stranger's proposal")
    run = act.run("pull_request", "pull-request", {"pull_request": {"head": {"repo": {"fork": True}}}})
    assert run.exit_code == 0, run.log
    assert json.loads(run.report("gate-next", "result.json"))["commit"] == commit
    assert _tags(repository) == before
    repository.check_out("main")


@pytest.mark.thorough
def test_what_fails_is_red_with_the_report_of_this_run(act, repository, caller, tmp_path):
    """A gate in a pull request, a commit off main that was to be pushed, and a release that nobody tested."""
    before = _tags(repository)
    repository.check_out("--detach")
    repository.write("tests/os/always-fails", "#!/bin/sh\necho this must not ship\nexit 1\n", executable=True)
    repository.commit("A proposal that fails its gate")
    run = act.run("pull_request", "pull-request", {"pull_request": {"head": {"repo": {"fork": True}}}})
    assert run.exit_code == 1, run.log
    assert "this must not ship" in run.report("gate-next", "summary.md")

    run = act.run("push", "build-next", {"ref": "refs/heads/main"}, SECRETS)
    assert run.exit_code == 1, run.log
    told = json.loads(run.report("build-next", "result.json"))
    assert (told["outcome"], told["exit_code"]) == ("precondition", 3)
    assert "is not on main" in told["reason"]

    caller.fails("precondition", "build-next", "--must-push")
    caller.fails("gate failed", "gate-next", "--fail", "export", "--path", str(tmp_path / "report"))

    repository.check_out("main")
    repository.tag("v2.0.0")
    run = act.run("push", "release-stable", {"ref": "refs/tags/v2.0.0"}, SECRETS)
    assert run.exit_code == 1
    assert json.loads(run.report("promote-stable", "result.json"))["outcome"] == "precondition"
    assert _tags(repository) == before


@pytest.mark.thorough
def test_a_whole_release_by_its_tags(act, repository):
    for tag, workflow, channel in (
        ("v1.0.0-test", "test-qemu", "testing"),
        ("v1.0.0", "release-stable", "stable"),
    ):
        act.run("push", "build-next", {"ref": "refs/heads/main"}, SECRETS)
        repository.tag(tag)
        run = act.run("push", workflow, {"ref": f"refs/tags/{tag}"}, SECRETS)
        assert run.exit_code == 0, run.log
        assert registry.digest(repository.image, channel) == registry.digest(repository.image, repository.head())
    assert act.run("schedule", "channels", {}, SECRETS).exit_code == 0
    assert act.run("schedule", "prune", {}, SECRETS).exit_code == 0


def test_the_board_shows_what_the_workflows_moved(act, repository, caller, tmp_path):
    caller.passes("board", "export", "--path", str(tmp_path / "site"))
    assert registry.digest(repository.image, "next")[7:19] in (tmp_path / "site" / "index.html").read_text()
    assert (tmp_path / "site" / "badges" / "sample-os-next.svg").exists()
