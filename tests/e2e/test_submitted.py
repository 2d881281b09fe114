"""Images that were built elsewhere, and a new base under an old commit, through `dagger call`: names and bytes."""

import tarfile
from pathlib import Path

import pytest
from rehearsal import registry

pytestmark = pytest.mark.thorough

BASE = "registry:5500/lab/tiny-os"
REVISION = "org.opencontainers.image.revision"


@pytest.fixture(scope="module")
def first(repository, caller) -> str:
    """The commit, whose image is built on a base of this test alone."""
    tag = repository.image.split("/")[1]
    registry.put(BASE, tag, registry.manifest(BASE, "bookworm") or b"")
    repository.replace("pipeline.toml", f"{BASE}:bookworm", f"{BASE}:{tag}")
    commit = repository.commit("A base of its own")
    caller.passes("build-next")
    return commit


def named(repository, tag: str) -> str | None:
    return registry.digest(repository.image, tag)


def test_a_new_base_brings_another_candidate_of_the_same_commit(repository, caller, first):
    said = caller.passes("build-next", "--refresh=auto").output
    assert "nothing that it is built on has changed" in " ".join(said.split())
    tag = repository.image.split("/")[1]
    registry.derived(BASE, tag, BASE, "a newer base", tag=tag)
    caller.passes("build-next", "--refresh=auto")
    assert named(repository, "next") == named(repository, f"{first}.2") != named(repository, first)


@pytest.fixture(scope="module")
def elsewhere(repository) -> str:
    """The repository of the job that builds."""
    return f"{repository.image}-elsewhere"


def test_a_digest_an_archive_and_a_layout_are_candidates_as_they_are(
    repository, caller, first, elsewhere, tmp_path: Path
):
    pushed, archived, laid = (
        registry.derived(repository.image, first, elsewhere, text) for text in ("a digest", "an archive", "a layout")
    )
    folder = registry.laid_out(elsewhere, archived, tmp_path / "archived")
    archive = tmp_path / "image.tar"
    with tarfile.open(archive, "w") as packed:
        packed.add(folder, ".")
    layout = registry.laid_out(elsewhere, laid, tmp_path / "layout")

    before = len([tag for tag in registry.tags(repository.image) if tag.startswith(first)])
    for number, (digest, handed_over) in enumerate(
        [
            (pushed, f"--reference={elsewhere}@{pushed}"),
            (archived, f"--archive={archive}"),
            (laid, f"--layout={layout}"),
        ],
        start=before + 1,
    ):
        caller.passes("submit-next", handed_over)
        name = first if number == 1 else f"{first}.{number}"
        assert named(repository, "next") == named(repository, name) == digest


def test_two_architectures_that_were_built_apart_become_one_index(repository, caller, first, elsewhere, tmp_path: Path):
    repository.replace("pipeline.toml", "\nbuild_args", '\nplatforms = ["linux/amd64", "linux/arm64"]\nbuild_args')
    commit = repository.commit("For arm64, too")
    amd64, arm64 = (
        registry.derived(repository.image, first, elsewhere, one, labels={REVISION: commit}, architecture=one)
        for one in ("amd64", "arm64")
    )
    layout = registry.laid_out(elsewhere, arm64, tmp_path / "arm64")
    caller.passes("submit-next", f"--reference={elsewhere}@{amd64}", f"--layout={layout}")
    assert named(repository, "next") == named(repository, commit)
    listed = registry.manifest(repository.image, "next") or b""
    assert amd64.encode() in listed
    assert arm64.encode() in listed
