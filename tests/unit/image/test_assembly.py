"""What builds left becomes one candidate, byte for byte, or is refused with what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import PreconditionError
from pipeline.image.assembly import Assembled, assemble
from pipeline.registry import media
from pipeline.registry.content import sha256

CONFIG, LAYER = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+zstd"


class Layout:
    """An OCI image layout that is written by hand, in bytes of its own spelling."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)

    def blob(self, data: bytes, kind: str, **more: Any) -> dict[str, Any]:
        digest = sha256(data)
        (self.folder / "blobs" / "sha256" / digest.hex).write_bytes(data)
        return {"mediaType": kind, "digest": digest, "size": len(data), **more}

    def image(self, architecture: str = "amd64", **labels: str) -> dict[str, Any]:
        said = {"os": "linux", "architecture": architecture, "config": {"Labels": labels}}
        config = self.blob(json.dumps(said | {"rootfs": {"diff_ids": ["sha256:1"]}}).encode(), CONFIG)
        layer = self.blob(f"layer {architecture}".encode(), LAYER, annotations={"component": "kernel"})
        return self.document(media.OCI_MANIFEST, config=config, layers=[layer], annotations={"whole": "image"})

    def document(self, kind: str, **parts: Any) -> dict[str, Any]:
        written = json.dumps({"mediaType": kind, "schemaVersion": 2, **parts}, indent=3).encode()
        return self.blob(written, kind)

    def index(self, *listed: dict[str, Any]) -> dict[str, Any]:
        return self.document(media.OCI_INDEX, manifests=list(listed))

    def lists(self, *tops: dict[str, Any]) -> "Layout":
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": list(tops)}))
        return self


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "in")


def _assembled(*layouts: Layout) -> tuple[Assembled, Path]:
    out = layouts[0].folder.with_name("out")
    return assemble([one.folder for one in layouts], out), out


def _raw(out: Path, digest: str) -> bytes:
    return (out / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()


def test_an_image_stays_as_it_is(layout: Layout) -> None:
    top = layout.image(revision="c0ffee")
    found, out = _assembled(layout.lists(top | {"annotations": {"org.opencontainers.image.ref.name": "latest"}}))
    assert (found.digest, found.labels) == (top["digest"], {"linux/amd64": {"revision": "c0ffee"}})
    assert (found.platforms, found.layers) == ({"linux/amd64": top["digest"]}, {"linux/amd64": ["sha256:1"]})
    for path in (out / "blobs" / "sha256").iterdir():
        assert path.read_bytes() == (layout.folder / "blobs" / "sha256" / path.name).read_bytes()
    (listed,) = json.loads((out / "index.json").read_text())["manifests"]
    assert listed["digest"] == top["digest"]


def test_an_index_stays_as_it_is_with_its_attestations(layout: Layout) -> None:
    images = [layout.image(one) | {"platform": {"os": "linux", "architecture": one}} for one in ("amd64", "arm64")]
    attestation = layout.image("none") | {"platform": {"os": "unknown", "architecture": "unknown"}}
    top = layout.index(*images, attestation)
    found, out = _assembled(layout.lists(top))
    assert found.digest == top["digest"] == sha256(_raw(out, found.digest))
    assert set(found.platforms) == {"linux/amd64", "linux/arm64"}
    assert _raw(out, attestation["digest"])


def test_images_that_were_built_apart_become_one_index(layout: Layout, tmp_path: Path) -> None:
    other = Layout(tmp_path / "other")
    images = {"arm64": other.image("arm64"), "amd64": layout.image("amd64")}
    found, out = _assembled(other.lists(images["arm64"]), layout.lists(images["amd64"]))
    listed = json.loads(_raw(out, found.digest))["manifests"]
    assert [(one["platform"]["architecture"], one["digest"]) for one in listed] == [
        (name, images[name]["digest"]) for name in ("amd64", "arm64")
    ]
    again = assemble([layout.folder, other.folder], tmp_path / "again")
    assert again.digest == found.digest, "the same images are the same candidate, in whatever order they come"


def _no_layout(layout: Layout) -> None:
    (layout.folder / "manifest.json").write_text("[]")


def _empty(layout: Layout) -> None:
    layout.lists()


def _damaged(layout: Layout) -> None:
    top = layout.image()
    (path,) = [one for one in (layout.folder / "blobs/sha256").iterdir() if one.read_bytes() == b"layer amd64"]
    path.write_bytes(b"layer amd65")
    layout.lists(top)


def _cut(layout: Layout) -> None:
    top = layout.image()
    (path,) = [one for one in (layout.folder / "blobs/sha256").iterdir() if one.read_bytes() == b"layer amd64"]
    path.unlink()
    layout.lists(top)


def _docker(layout: Layout) -> None:
    layout.lists(layout.document(media.DOCKER_MANIFEST, config={}, layers=[]))


def _nested(layout: Layout) -> None:
    layout.lists(layout.index(layout.index(layout.image())))


def _nested_unsaid(layout: Layout) -> None:
    layout.lists(layout.index(layout.index(layout.image()) | {"mediaType": media.OCI_MANIFEST}))


def _twice(layout: Layout) -> None:
    layout.lists(layout.image(made="today"), layout.image(made="yesterday"))


def _no_platform(layout: Layout) -> None:
    config = layout.blob(b"{}", CONFIG)
    layout.lists(layout.document(media.OCI_MANIFEST, config=config, layers=[]))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_no_layout, "Found blobs, manifest.json where an OCI image layout was expected"),
        (_empty, "lists no image"),
        (_damaged, "It was damaged"),
        (_cut, "no blob"),
        (_docker, "expected an OCI image"),
        (_nested, "lists another index"),
        (_nested_unsaid, "lists another index"),
        (_twice, "one image for each platform"),
        (_no_platform, "names no os and architecture"),
    ],
)
def test_what_is_no_candidate_is_refused(layout: Layout, make: Any, said: str) -> None:
    make(layout)
    with pytest.raises(PreconditionError, match=said):
        _assembled(layout)
