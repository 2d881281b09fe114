"""Manifests that we write: artifacts, and the lists of them (OCI image specification 1.1, artifacts usage)."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.domain import Channel, Repository, Tag
from pipeline.registry import media
from pipeline.registry.attached import referrers_tag as fallback_tag
from pipeline.registry.content import Descriptor, Manifest

__all__ = ["EMPTY", "Promoted", "artifact", "fallback_tag", "index_of", "looks_promoted"]

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


Promoted = Callable[[Repository, Tag], bool]
"""Whether skopeo alone writes a tag, from a tested digest."""


def looks_promoted(_repository: Repository, tag: Tag) -> bool:
    """Whether it is a channel or version tag as they are called without a configuration."""
    return str(tag) in list(Channel) or tag.startswith("v")
