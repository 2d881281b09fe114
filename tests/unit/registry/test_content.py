"""Descriptors and manifests."""

import base64
import json

import pytest

from pipeline.registry import media
from pipeline.registry.artifacts import artifact, index_of
from pipeline.registry.attached import referrers_tag
from pipeline.registry.content import EMBEDDED, Descriptor, Manifest, Platform, sha256

EMPTY = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "size": 2,
    "data": "e30=",
}


def test_small_content_travels_in_its_descriptor() -> None:
    assert Descriptor.of(b"{}", media.EMPTY).to_json() == EMPTY
    assert Descriptor.of(b"{}", media.EMPTY).embedded == b"{}"
    assert Descriptor.of(b"x" * (EMBEDDED + 1), "text/plain").data is None


@pytest.mark.parametrize("data", ["bm90IGl0", "not base64"])
def test_embedded_content_counts_only_when_it_is_what_the_digest_says(data: str) -> None:
    assert Descriptor(media_type="x/y", digest=sha256(b"it"), size=2, data=data).embedded is None
    assert base64.b64decode("bm90IGl0") == b"not it"


def test_an_artifact_is_an_image_manifest_with_the_empty_config() -> None:
    subject = index_of([]).descriptor
    manifest = artifact("application/x.note", [], subject=subject, annotations={"b": "2", "a": "1"})
    assert json.loads(manifest.raw) == {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "artifactType": "application/x.note",
        "config": EMPTY,
        "layers": [EMPTY],
        "subject": {"mediaType": media.OCI_INDEX, "digest": subject.digest, "size": subject.size},
        "annotations": {"a": "1", "b": "2"},
    }
    assert manifest == artifact("application/x.note", [], subject=subject, annotations={"a": "1", "b": "2"})
    assert manifest.subject == subject.digest
    assert manifest.artifact_type == "application/x.note"
    assert referrers_tag(subject.digest) == f"sha256-{subject.digest.hex}"


def test_the_type_in_the_document_comes_first() -> None:
    raw = json.dumps({"schemaVersion": 2, "mediaType": media.DOCKER_INDEX, "manifests": []}).encode()
    assert Manifest.parse(raw, "text/plain; charset=utf-8").media_type == media.DOCKER_INDEX
    bare = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
    assert Manifest.parse(bare, f"{media.OCI_INDEX}; charset=utf-8").is_index


@pytest.mark.parametrize(
    ("raw", "kind", "found"),
    [
        (b"<html>", "text/html", "6 bytes that are not JSON, content type text/html"),
        (b"[]", media.OCI_INDEX, "without schemaVersion 2"),
        (b'{"schemaVersion": 1}', "application/vnd.docker.distribution.manifest.v1+json", "without schemaVersion 2"),
        (b'{"schemaVersion": 2}', "application/json", "type application/json, not a manifest"),
    ],
)
def test_what_is_no_manifest_is_named(raw: bytes, kind: str, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        Manifest.parse(raw, kind)


def test_broken_descriptors_are_refused() -> None:
    with pytest.raises(ValueError, match="broken descriptor"):
        _ = index_of([{"mediaType": "x/y", "digest": "sha256:short", "size": 1}]).manifests


def test_platforms_are_written_as_people_do() -> None:
    assert str(Platform(os="linux", architecture="amd64")) == "linux/amd64"
    assert str(Platform(os="linux", architecture="arm", variant="v7")) == "linux/arm/v7"
    assert str(Platform(os="linux", architecture="arm")) == "linux/arm/v7"
    assert str(Platform(os="linux", architecture="arm64", variant="v8")) == "linux/arm64"
    assert str(Platform(os="linux", architecture="amd64", variant="v2")) == "linux/amd64/v2"
