"""The candidate as files, from a real registry that wants a login and speaks plain HTTP."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pipeline.domain import Digest, Repository, Tag
from pipeline.registry import media
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import Manifest, sha256
from pipeline.registry.credentials import Credentials
from pipeline.registry.shown import show_to_others
from pipeline.vm.relay import Layout

CONFIG, LAYER = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"
INDEX, MANIFEST = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def auth(guarded_registry: str, registry_login: tuple[str, str]) -> str:
    login = base64.b64encode(":".join(registry_login).encode()).decode()
    return json.dumps({"auths": {guarded_registry: {"auth": login}}})


async def push_image(
    repo: RepositoryClient, architecture: str, tag: Tag | None = None, kind: str = MANIFEST
) -> dict[str, Any]:
    platform = {"os": "linux", "architecture": architecture}
    config = await repo.push_blob(json.dumps(platform).encode(), CONFIG)
    layer = await repo.push_blob(os.urandom(100_000), LAYER)
    both = [one.model_copy(update={"data": None}).to_json() for one in (config, layer)]
    image = {"schemaVersion": 2, "mediaType": kind, "config": both[0], "layers": [both[1], both[1]]}
    return (await repo.push_manifest(Manifest.of(image), tag)).to_json() | {"platform": platform}


@pytest.fixture
async def pushed(guarded_registry: str, auth: str) -> tuple[Repository, Digest, list[dict[str, Any]]]:
    """An index of two images, the first of them signed, the index in the newer form."""
    repository = Repository(guarded_registry, f"test/{uuid4().hex}")
    async with RegistryClient(Credentials.parse(auth), plain_http={guarded_registry}) as client:
        repo = client.repository(repository)
        images = [await push_image(repo, architecture) for architecture in ("amd64", "arm64")]
        index = await repo.push_manifest(
            Manifest.of({"schemaVersion": 2, "mediaType": INDEX, "manifests": images}), None
        )
        await push_image(repo, "none", Tag(f"sha256-{images[0]['digest'][7:]}.sig"))
        await repo.push_empty()
        await show_to_others(repo, index.digest, await repo.push_blob(b"a bundle", media.BUNDLE))
    return repository, index.digest, images


def fetch(
    tmp_path: Path, repository: Repository, digest: str, auth: str, *more: str
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "auth.json").write_text(auth)
    command = [sys.executable, "-m", "pipeline.image.oci_layout", "--repository", str(repository), "--digest", digest]
    command += ["--tag", "stable", "--path", str(tmp_path / "image"), "--plain-http"]
    return subprocess.run(
        [*command, "--auth-file", str(tmp_path / "auth.json"), *more], capture_output=True, text=True, check=False
    )


async def test_the_layout_has_one_platform_of_the_index_and_its_signature(pushed, auth, tmp_path) -> None:
    repository, digest, (image, other) = pushed
    done = fetch(tmp_path, repository, digest, auth)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["digests"] == [digest, image["digest"]]
    layout = Layout(tmp_path / "image")
    assert [layout.manifest(ref)[0] for ref in ("stable", digest, image["digest"])] == [digest, digest, image["digest"]]
    assert layout.manifest(f"sha256-{image['digest'][7:]}.sig")
    assert layout.manifest(other["digest"]) is None
    listed = layout.manifest(f"sha256-{digest[7:]}")
    assert listed, "no list of referrers by the distribution specification's tag"
    (attached,) = json.loads(listed[2].read_text())["manifests"]
    _, _, file = layout.manifest(attached["digest"]) or ("", "", Path())
    (bundle,) = json.loads(file.read_text())["layers"]
    assert (attached["artifactType"], layout.blob(bundle["digest"]).read_bytes()) == (media.BUNDLE, b"a bundle")
    blobs = list((tmp_path / "image/blobs/sha256").iterdir())
    assert len(blobs) == 3 + 2 + 2 + 4  # the list, the artifact, its empty config, the bundle
    assert all(sha256(blob.read_bytes()).hex == blob.name for blob in blobs)
    assert auth not in "".join(str(blob.read_bytes()) for blob in (tmp_path / "image").rglob("*") if blob.is_file())


@pytest.mark.parametrize(
    ("digest", "more", "said"),
    [
        ("sha256:" + "0" * 64, (), "expected the candidate"),
        ("", ("--platform", "linux/s390x"), "it has linux/amd64, linux/arm64"),
    ],
)
async def test_what_is_not_there_is_a_precondition(pushed, auth, tmp_path, digest, more, said) -> None:
    done = fetch(tmp_path, pushed[0], digest or pushed[1], auth, *more)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (3, True, False)


async def test_a_wrong_login_is_a_precondition_and_is_not_shown(pushed, guarded_registry, tmp_path) -> None:
    wrong = base64.b64encode(b"releaser:wrong-password").decode()
    done = fetch(tmp_path, pushed[0], pushed[1], json.dumps({"auths": {guarded_registry: {"auth": wrong}}}))
    assert done.returncode == 3
    assert "wrong-password" not in done.stderr
    assert wrong not in done.stderr
