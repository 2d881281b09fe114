"""What the gates are for: an image that must not ship stops, and its channel stays where it was."""

import json
from pathlib import Path

import pytest
from rehearsal import registry

HEARD = Path(__file__).parents[1] / "contract" / "vm" / "checks" / "nobody-left-unheard.sh"
SERVICE = "os/usr/lib/systemd/system/sample-os-greeting.service"


@pytest.fixture
def testing_and_stable_stay(repository):
    """Both channels are afterwards where they were."""
    before = [registry.digest(repository.image, channel) for channel in ("testing", "stable")]
    yield
    assert [registry.digest(repository.image, channel) for channel in ("testing", "stable")] == before


def outcome(caller, tmp_path, ref, gate):
    caller.passes("evidence", "--ref", ref, "--gate", gate, "export", "--path", str(tmp_path / gate))
    return json.loads((tmp_path / gate / "result.json").read_text())


def failed(result):
    return {check["name"] for check in result["checks"] if check["status"] == "failed"}


@pytest.mark.usefixtures("testing_and_stable_stay")
def test_a_failing_unit_test_keeps_the_image_out_of_the_registry(repository, caller):
    repository.write("os/usr/share/sample-os/greeting", "goodbye\n")
    commit = repository.commit("Say goodbye")
    assert "expected 'hello'" in caller.fails("gate failed", "build-next").output
    assert registry.digest(repository.image, commit) is None
    assert registry.digest(repository.image, "next") is None
    repository.revert()


@pytest.mark.usefixtures("testing_and_stable_stay")
def test_a_service_that_fails_at_boot_stops_at_testing(repository, caller, tmp_path):
    repository.replace(SERVICE, "sample-os/greeting", "sample-os/greetings")
    commit = repository.commit("Greet in the plural")
    caller.passes("build-next")
    repository.tag("v1.1.0-test")
    assert "sample-os-greeting.service" in caller.fails("gate failed", "promote-testing", "--tag", "v1.1.0-test").output
    assert registry.digest(repository.image, "v1.1.0-test") is None
    assert "units" in failed(outcome(caller, tmp_path, commit, "testing"))
    repository.revert()


def test_a_regression_that_only_openqa_looks_for_stops_at_stable(repository, caller, tmp_path):
    repository.write("os/usr/lib/tmpfiles.d/sample-os.conf", "d /tmp 0755 root root -\n")
    commit = repository.commit("Nobody but root needs /tmp")
    caller.passes("build-next")
    repository.tag("v1.2.0-test")
    caller.passes("promote-testing", "--tag", "v1.2.0-test")
    repository.tag("v1.2.0")
    caller.fails("gate failed", "promote-stable", "--tag", "v1.2.0")
    assert registry.digest(repository.image, "v1.2.0") is None
    assert registry.digest(repository.image, "stable") is None
    assert registry.digest(repository.image, "testing") == registry.digest(repository.image, commit)
    assert failed(outcome(caller, tmp_path, "v1.2.0-test", "stable"))
    assert list((tmp_path / "stable").rglob("*.png")), "the screenshot of the failed module"


@pytest.mark.thorough
def test_a_guest_whose_ssh_server_punishes_who_knocks_too_often_is_promoted(repository, caller, tmp_path):
    """OpenSSH 9.8 and later; the repository's own tests open connections beside the gate's."""
    repository.replace("pipeline.toml", "tiny-os:bookworm", "tiny-os:trixie")
    repository.write("tests/vm/nobody-left-unheard.sh", HEARD.read_text(), executable=True)
    commit = repository.commit("A newer base")
    caller.passes("build-next")
    repository.tag("v1.3.0-test")
    caller.passes("promote-testing", "--tag", "v1.3.0-test")
    assert registry.digest(repository.image, "testing") == registry.digest(repository.image, commit)
    result = outcome(caller, tmp_path, "v1.3.0-test", "testing")
    assert "root's key at the SSH server that the image runs" in str(result["inputs"])
    passed = {check["name"].rpartition("user/")[2] for check in result["checks"] if check["status"] == "passed"}
    assert {"nobody-left-unheard.sh", "reboot"} <= passed
