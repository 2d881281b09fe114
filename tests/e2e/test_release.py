"""A release goes from a commit to :stable, and everything that must hold afterwards holds."""

import base64
import gzip
import hashlib
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import anyio
import dagger
import pytest
from rehearsal import registry
from rehearsal.lab import MODULE, OPENQA, OPENQA_AUTH, REGISTRY_LOGIN, STORE, STORE_AUTH
from rehearsal.processes import Watch

from pipeline.containers.base import debian

RELEASE = [("build-next",), ("promote-testing", "--tag", "v1.0.0-test"), ("promote-stable", "--tag", "v1.0.0")]
PASSWORD, TOKEN = "canary-password-of-a-release", "canary.identity.token"
KEY = ("--signing-key=env://SIGNING_KEY", "--signing-password=env://SIGNING_PASSWORD")
UPGRADE = ("upgrade", "rollback")
TAGS = ["next", "v1.0.0-test", "testing", "v1.0.0", "stable"]


@pytest.fixture(scope="module")
def key(surroundings, logs) -> str:
    """The private half of a signing key, as cosign writes it."""

    async def made() -> str:
        with (logs / "key.log").open("w") as log:
            async with dagger.connection(dagger.Config(log_output=log)):
                tool = debian("cosign", "ca-certificates").with_env_variable("COSIGN_PASSWORD", PASSWORD)
                return await tool.with_exec(["cosign", "generate-key-pair"]).file("cosign.key").contents()

    return anyio.run(made)


@pytest.fixture(scope="module")
def secrets(key) -> list[bytes]:
    """What must be nowhere."""
    logins = [OPENQA_AUTH, STORE_AUTH, REGISTRY_LOGIN]
    words = [word for one in logins for word in (one.partition(":")[2], base64.b64encode(one.encode()).decode())]
    return [word.encode() for word in (*words, PASSWORD, TOKEN, *key.splitlines()[1:-1])]


@pytest.fixture(scope="module")
def watch(surroundings, key) -> Watch:
    """Sees what is started in containers, but for the lab's; the contract tests beside these have other secrets."""
    return Watch()


@pytest.fixture(scope="module")
def released(repository, caller, watch, key) -> str:
    """The commit that became stable; the sample OS has no bootc of its own and gets the scripted one.

    The first of the jobs signs.
    """
    repository.copy(MODULE / "ci/lab/scripted-bootc", "os")
    repository.commit("A scripted bootc")
    repository.tag("v1.0.0-test")
    repository.tag("v1.0.0")
    given = {"SIGNING_KEY": key, "SIGNING_PASSWORD": PASSWORD}
    with watch.watching(), pytest.MonkeyPatch.context() as patched:
        for name, value in given.items():
            patched.setenv(name, value)
        for call, signs in zip(RELEASE, (KEY, (), ()), strict=True):
            assert caller.passes(*signs, *call, log=f"first-{call[0]}").output.startswith("passed · ")
    return repository.head()


@pytest.fixture(scope="module")
def reports(released, caller, tmp_path_factory) -> dict[str, Path]:
    """The report of each gate, as `evidence` exports it."""
    folder = tmp_path_factory.mktemp("reports")
    for gate in "next", "testing", "stable":
        caller.passes("evidence", "--ref", "v1.0.0", "--gate", gate, "export", "--path", str(folder / gate))
    return {gate: folder / gate for gate in ("next", "testing", "stable")}


def result(report: Path) -> dict[str, Any]:
    return json.loads((report / "result.json").read_text())


def test_every_tag_names_the_tested_manifest_byte_for_byte(repository, released):
    tested = registry.manifest(repository.image, released)
    assert tested
    assert {tag: registry.manifest(repository.image, tag) == tested for tag in TAGS} == dict.fromkeys(TAGS, True)


def test_each_gate_left_its_report_beside_the_digest(repository, released, reports):
    digest = registry.digest(repository.image, released)
    for report in reports.values():
        found = result(report)
        assert (found["outcome"], found["digest"], found["commit"]) == ("passed", digest, released)
        assert {"summary.md", "report.html", "junit.xml"} <= {path.name for path in report.iterdir()}


def test_no_required_check_was_skipped(reports):
    for report in reports.values():
        checks = result(report)["checks"]
        assert checks
        assert not [check for check in checks if check["required"] and check["status"] not in ("passed", "waived")]


def test_openqa_booted_the_very_disk_that_booted_in_qemu(reports):
    booted = result(reports["testing"])["inputs"]["disk sha256"]
    with urllib.request.urlopen(f"http://localhost:{OPENQA}/api/v1/jobs?distri=bootclab") as answer:
        jobs = json.load(answer)["jobs"]
    (asset,) = {job["settings"]["HDD_1"] for job in jobs if job["settings"]["BUILD"].startswith("1.0.0-")}
    with urllib.request.urlopen(f"http://localhost:{STORE}/os-images/candidates/{asset}") as answer:
        uploaded = hashlib.file_digest(answer, "sha256").hexdigest()
    assert uploaded == booted == result(reports["stable"])["inputs"]["disk sha256"]


def test_whoever_waits_for_openqa_sees_job_module_and_link(released, caller):
    """As lines of the call, and as spans of its trace."""
    said = caller.pipeline.log("first-promote-stable").read_text(errors="replace")
    job = r"Full Regression Suite@uefi"
    link = rf"http://openqa:{OPENQA}/tests/\d+"
    assert re.search(rf"openQA: 0 of 1 jobs have ended; {job} runs \w+, module [12] of 2 \({link}\)", said)
    assert re.search(rf"openQA: {job} {link}\W.*DONE", said)
    assert re.search(r": \W*runs \w+, module [12] of 2\W.*DONE", said)


def test_the_same_commands_again_change_nothing(repository, released, caller):
    before = {tag: registry.digest(repository.image, tag) for tag in registry.tags(repository.image)}
    for call in RELEASE:
        assert caller.passes(*call).output.startswith("unchanged · ")
    assert {tag: registry.digest(repository.image, tag) for tag in registry.tags(repository.image)} == before


def test_every_channel_may_point_where_it_points(released, caller):
    caller.passes("verify")


def test_retention_plans_to_take_nothing_of_the_release_and_keeps_what_it_read(repository, released, caller):
    for _ in range(2):
        caller.passes("prune")
    assert "export file taken to host" in caller.pipeline.log("prune").read_text(errors="replace")  # of the plan before
    assert set(TAGS) <= set(registry.tags(repository.image))


def test_the_table_shows_the_release(repository, released, caller):
    digest = registry.digest(repository.image, "stable") or ""
    assert caller.passes("status").output.count(digest.removeprefix("sha256:")[:12]) == 3


def test_a_checkout_that_differs_from_its_commit_promotes_nothing(repository, released, caller):
    """Its gates are not those of the commit; releases in another repository are in tests/contract/promotion."""
    named = f'repository = "{repository.image}"\n'
    repository.replace("pipeline.toml", named, f'{named}stable_{named[:-2]}-stable"\n')
    try:
        said = caller.fails("precondition", "promote-stable", "--tag", "v1.0.0").output
    finally:
        repository.replace("pipeline.toml", f'stable_{named[:-2]}-stable"\n', "")
    assert "differs from its commit" in said
    assert not registry.tags(f"{repository.image}-stable")


def test_no_secret_is_in_what_the_release_left_behind(repository, released, reports, caller, secrets, monkeypatch):
    """Logs with every command line, reports, what is in the registry, what openQA shows to everybody."""
    assert any(tag.endswith(".sig") for tag in registry.tags(repository.image))
    monkeypatch.setenv("IDENTITY", TOKEN)
    caller.fails("usage", "--identity-token=env://IDENTITY", "anchor", log="identity")
    with urllib.request.urlopen(f"http://localhost:{OPENQA}/api/v1/jobs?distri=bootclab") as answer:
        places = [("openQA's jobs", answer.read())]
    places += [(str(log), log.read_bytes()) for log in caller.pipeline.logs.glob("*.log")]
    places += [
        (str(file), file.read_bytes()) for gate in reports.values() for file in gate.rglob("*") if file.is_file()
    ]
    places += list(registry.blobs(repository.image))
    assert len(places) > 30
    found = [(name, secret) for name, content in places for secret in secrets if secret in unpacked(content)]
    assert not found


def test_no_process_in_a_container_is_given_a_secret(released, watch, secrets):
    """Neither as an argument nor in its environment, while the secrets are mounted beside it."""
    if not watch.seen:
        pytest.skip("the engine runs its containers elsewhere")
    for program in b"pipeline.registry.disk", b"pipeline.upload":  # those that live long enough to be seen for sure
        assert any(program in words for words in watch.seen)
    assert not [words for words in watch.seen for secret in secrets if secret in words]


def test_the_next_release_is_tried_as_an_upgrade_of_the_disk_of_this_one(
    repository, released, reports, caller, tmp_path
):
    stable = registry.digest(repository.image, "stable")
    first = result(reports["testing"])
    assert {
        check["name"]: check["reason"].partition(":")[0] for check in first["checks"] if check["name"] in UPGRADE
    } == (dict.fromkeys(UPGRADE, "first-release"))
    repository.write("os/usr/share/sample-os/note", "the next release\n")
    repository.commit("The next release")
    repository.tag("v1.1.0-test")
    caller.passes("build-next")
    caller.passes("promote-testing", "--tag", "v1.1.0-test")
    caller.passes("evidence", "--ref", "v1.1.0-test", "--gate", "testing", "export", "--path", str(tmp_path))
    found = result(tmp_path)
    checks = {check["name"]: check for check in found["checks"]}
    assert {checks[name]["status"] for name in ("stable/boot", *UPGRADE, "stable/disk")} == {"passed"}
    assert found["inputs"]["stable digest"] == stable
    assert found["inputs"]["stable disk sha256"] == first["inputs"]["disk sha256"]
    assert f"{stable} became {found['digest']}" in checks["upgrade"]["reason"]
    fetched = (tmp_path / "vm-x86_64-upgrade/relay.log").read_text()
    layers = json.loads(registry.manifest(repository.image, "testing") or b"{}")["layers"]
    assert layers
    assert all(layer["digest"] in fetched for layer in layers)
    assert "stable/boot" in (tmp_path / "junit.xml").read_text()


@pytest.mark.thorough
def test_an_image_that_lost_its_bootc_stops_at_testing(repository, released, caller):
    scripted = MODULE / "ci/lab/scripted-bootc"
    for file in (path.relative_to(scripted) for path in scripted.rglob("*") if path.is_file()):
        (repository.path / "os" / file).unlink()
    commit = repository.commit("Who needs bootc")
    caller.passes("build-next")
    repository.tag("v1.2.0-test")
    assert "bootc-lost" in caller.fails("gate failed", "promote-testing", "--tag", "v1.2.0-test").output
    assert registry.digest(repository.image, "testing") != registry.digest(repository.image, commit)


def test_one_check_again_is_one_that_there_is(released, caller):
    assert "no check 'unit'" in caller.fails("usage", "check-again", "--ref", "v1.0.0-test", "--check", "unit").output


def unpacked(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
