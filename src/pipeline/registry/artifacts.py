"""Manifests that we write: artifacts, and the lists of them (OCI image specification 1.1, artifacts usage)."""

from collections.abc import Mapping
from typing import Any

from pipeline.domain import Channel, Tag
from pipeline.registry import media
from pipeline.registry.attached import referrers_tag as fallback_tag
from pipeline.registry.content import Descriptor, Manifest

__all__ = ["EMPTY", "artifact", "fallback_tag", "index_of", "refuse_promoted"]

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


def refuse_promoted(tag: Tag) -> None:
    """ValueError for channel and version tags: skopeo writes those, from a tested digest, and nobody else."""
    if tag in {channel.tag for channel in Channel} or tag.startswith("v"):
        raise ValueError(f"{tag} is a channel or version tag: only promotion may write it")
