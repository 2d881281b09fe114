"""Manifests that we write: artifacts, and the lists of them (OCI image specification 1.1, artifacts usage)."""

import re
from collections.abc import Mapping
from typing import Any

from pipeline.domain import Channel, Digest, Tag
from pipeline.registry import media
from pipeline.registry.content import Descriptor, Manifest

EMPTY = b"{}"
"""The config of every artifact."""


def artifact(
    artifact_type: str,
    layers: list[Descriptor],
    *,
    subject: Descriptor | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """An artifact as an image manifest with the empty config; equal input gives equal bytes."""
    empty = Descriptor.of(EMPTY, media.EMPTY)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": empty.to_json(),
        "layers": [layer.to_json() for layer in layers or [empty]],
    }
    if subject:
        document["subject"] = subject.model_copy(update={"annotations": {}, "data": None}).to_json()
    if annotations:
        document["annotations"] = dict(annotations)
    return Manifest.of(document)


def index_of(manifests: list[dict[str, Any]]) -> Manifest:
    """An index over descriptors as they are written in JSON."""
    return Manifest.of({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": manifests})


def fallback_tag(digest: Digest) -> Tag:
    """Where registries without the referrers API keep the list of them (distribution specification, referrers tag)."""
    return Tag(digest.replace(":", "-"))


_BESIDE = re.compile(r"pipeline-(?:evidence-[a-z]+|disk)-(?P<subject>[0-9a-f]{64})-[0-9a-f]{36,40}")


def is_beside(tag: str, subject: Digest) -> bool:
    """Whether a tag keeps evidence or a disk of an image, see `evidence` and `disk`."""
    found = _BESIDE.fullmatch(tag)
    return found is not None and found["subject"] == subject.hex


def refuse_promoted(tag: Tag) -> None:
    """ValueError for channel and version tags: skopeo writes those, from a tested digest, and nobody else."""
    if tag in {channel.tag for channel in Channel} or tag.startswith("v"):
        raise ValueError(f"{tag} is a channel or version tag: only promotion may write it")
