"""The workflows that `init` gives another repository call those of this one."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "ci"))

from rehearsal.act import Act, Run
from rehearsal.lab import MODULE
from rehearsal.repository import Repository

from pipeline.policy.adoption.proposal import STAGE, WORKFLOWS, proposal
from pipeline.policy.adoption.seen import Seen

ADDRESS = "github.com/tuna-os/bootc-pipeline@v1.0.0"
SECRETS = {"GITHUB_TOKEN": "canary-token", "REGISTRY_PASSWORD": "canary-password", "OPENQA_AUTH": "k:s"}
DAGGER = """
given=" $* "
case $given in *file://*) auth=${given#*file://}; cat "${auth%% *}" > "$(dirname "$0")/auth" ;; esac
report=${given##*--path=}; report=${report% }
echo "# passed" > "$report/summary.md"
echo 0 > "$report/exit-code"
"""


@pytest.fixture(scope="module")
def act(tmp_path_factory: pytest.TempPathFactory) -> Act:
    """A repository with a Containerfile and a workflow that pushes to Quay, after `init`."""
    own = {
        path: (MODULE / path).read_text() for path in [*(f".github/workflows/{one}.yml" for one in WORKFLOWS), STAGE]
    }
    build = {".github/workflows/build.yml": "env:\n  REGISTRY: quay.io/tuna\n"}
    seen = Seen(["Containerfile", *build], build, "https://github.com/tuna-os/my-os", "master")
    repository = Repository(tmp_path_factory.mktemp("user") / "my-os", "")
    for path, text in ({"Containerfile": "FROM scratch\n"} | proposal(seen, ADDRESS, own).files).items():
        repository.write(path, text)
    repository.begin()
    return Act(repository, tmp_path_factory.mktemp("runs"), DAGGER, "tuna-os/bootc-pipeline@v1.0.0")


def _login(run: Run) -> str:
    return (run.reports.parent / "bin" / "auth").read_text()


def test_a_push_builds_with_the_module_and_the_login_of_the_other_registry(act: Act) -> None:
    run = act.run("push", "build-next", {"ref": "refs/heads/master"}, SECRETS)
    assert run.exit_code == 0, run.log
    (call,) = run.calls
    assert {ADDRESS, "run-stage", "--stage=build-next"} <= set(call)
    assert "quay.io" in _login(run)


def test_a_release_gets_the_secrets_that_it_needs(act: Act) -> None:
    run = act.run("push", "release-stable", {"ref": "refs/tags/v1.2.3"}, SECRETS)
    assert run.exit_code == 0, run.log
    (call,) = run.calls
    assert {"--openqa-auth=env://OPENQA_AUTH", "--stage=promote-stable", "--tag=v1.2.3"} <= set(call)
