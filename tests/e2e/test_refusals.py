"""What is refused says why, and nothing has moved."""

import json
import signal
import subprocess
import time

import pytest
from rehearsal import registry


@pytest.fixture(scope="module")
def built(repository, caller):
    """A commit that is `:next`."""
    caller.passes("build-next")
    return repository.head()


@pytest.fixture
def nothing_moves(repository, built):
    """The registry's tags are the same afterwards."""
    before = {tag: registry.digest(repository.image, tag) for tag in registry.tags(repository.image)}
    yield
    assert {tag: registry.digest(repository.image, tag) for tag in registry.tags(repository.image)} == before


@pytest.mark.usefixtures("nothing_moves")
class TestNothingMoves:
    def test_a_tag_name_of_another_form(self, caller):
        assert "vX.Y.Z-test" in caller.fails("usage", "promote-testing", "--tag", "1.0-test").output

    def test_a_tag_that_git_does_not_know(self, caller):
        assert "v9.9.9-test" in caller.fails("precondition", "promote-testing", "--tag", "v9.9.9-test").output

    def test_a_stable_tag_that_was_never_tested(self, repository, caller):
        repository.tag("v3.0.0")
        caller.fails("precondition", "promote-stable", "--tag", "v3.0.0")

    def test_a_commit_that_was_never_built(self, repository, caller):
        commit = repository.commit("Nobody built this", allow_empty=True)
        repository.tag("v3.1.0-test")
        assert commit[:12] in caller.fails("precondition", "promote-testing", "--tag", "v3.1.0-test").output

    def test_a_wrong_key_in_the_configuration(self, repository, caller):
        text = (repository.path / "pipeline.toml").read_text()
        repository.write("pipeline.toml", text.replace("checks =", "chekcs ="))
        try:
            said = caller.fails("usage", "status").output
        finally:
            repository.write("pipeline.toml", text)
        assert "gates.testing.chekcs" in said
        assert "allowed here" in said

    def test_scenarios_that_are_not_there(self, repository, caller):
        text = (repository.path / "pipeline.toml").read_text()
        repository.write("pipeline.toml", text.replace("scenarios.yaml", "scenarios.yml"))
        try:
            said = caller.fails("usage", "build-next").output
        finally:
            repository.write("pipeline.toml", text)
        assert "scenarios.yml, which is not in the source" in " ".join(said.split())

    def test_a_tree_that_differs_from_its_commit_is_built_and_not_pushed(self, repository, caller):
        repository.write("os/usr/share/sample-os/note", "not committed\n")
        try:
            assert "not pushed" in caller.passes("build-next").output
        finally:
            (repository.path / "os/usr/share/sample-os/note").unlink()


def test_an_image_of_another_commit_is_not_promoted(repository, caller, built):
    commit = repository.commit("Somebody pushes another image under this commit", allow_empty=True)
    registry.put(repository.image, commit, registry.manifest(repository.image, built))
    repository.tag("v4.0.0-test")
    said = caller.fails("precondition", "promote-testing", "--tag", "v4.0.0-test").output
    assert built[:12] in said
    assert registry.digest(repository.image, "testing") is None


def test_ctrl_c_in_the_middle_and_again(repository, pipeline, caller, built):
    repository.write("os/usr/share/sample-os/note", "one more file\n")
    commit = repository.commit("Interrupted")
    process = pipeline.start("build-next", log="interrupted")
    deadline = time.monotonic() + 300
    while "podman build" not in pipeline.log("interrupted").read_text(errors="replace"):
        assert process.poll() is None, pipeline.log("interrupted").read_text(errors="replace")[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    with_output = process.communicate(timeout=120)
    assert process.returncode, with_output
    assert registry.digest(repository.image, "next") == registry.digest(repository.image, built)
    caller.passes("build-next")
    assert registry.digest(repository.image, "next") == registry.digest(repository.image, commit)


def test_the_answers_can_be_read_by_machines(pipeline, caller, built):
    json.loads(caller.passes("status", "--as-json").output)


def test_the_module_explains_itself(pipeline):
    from rehearsal.lab import MODULE

    said = subprocess.run(
        ["dagger", "--silent", "functions", "-m", str(MODULE)], capture_output=True, text=True, check=True
    ).stdout
    assert {"build-next", "promote-testing", "promote-stable", "status", "evidence"} <= {
        line.split()[0] for line in said.splitlines() if line.strip()
    }
