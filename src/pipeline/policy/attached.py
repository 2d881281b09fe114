"""What counts as attached to a digest, by name: one definition for copying, retention and layouts.

Three ways exist: a manifest with a `subject`, found by the referrers API; the list behind the tag `sha256-<hex>` where
a registry lacks that API (OCI distribution specification 1.1, "Referrers tag schema"); and cosign's own tags
`sha256-<hex>.sig`, `.att` and `.sbom` (cosign, SIGNATURE_SPEC.md), which carry no subject at all. Our own evidence and
disks have a subject, and a tag for each besides, which is written once.
"""

import re

from pipeline.domain import Digest, Tag

FALLBACK = ""
"""The suffix of the list of referrers."""
COSIGN = (".sig", ".att", ".sbom")
"""The suffixes of what cosign attaches by name: signatures, attestations, bills of material."""

_ATTACHED = re.compile(r"sha256-([0-9a-f]{64})(\..+)?")
_OURS = re.compile(r"pipeline-(?:evidence-[a-z]+|disk)-([0-9a-f]{64})-[0-9a-f]{36,40}")
"""See `registry.evidence` and `registry.disk`."""


def referrers_tag(digest: Digest) -> Tag:
    """Where registries without the referrers API keep the list of what is attached to `digest`."""
    return Tag(f"sha256-{digest.hex}{FALLBACK}")


def attached_tags(digest: Digest) -> tuple[Tag, ...]:
    """Every tag that may hold something attached to `digest`: the list of referrers, then cosign's."""
    return (referrers_tag(digest), *cosign_tags(digest))


def cosign_tags(digest: Digest) -> tuple[Tag, ...]:
    """The tags behind which cosign puts what belongs to `digest`."""
    return tuple(Tag(f"sha256-{digest.hex}{suffix}") for suffix in COSIGN)


def subject_of_tag(tag: Tag) -> Digest | None:
    """Whose attachments lie behind `tag`; None for every other tag.

    Any suffix counts, also one that no tool writes today: what is attached to a kept image is kept.
    """
    found = _ATTACHED.fullmatch(tag) or _OURS.fullmatch(tag)
    return Digest(f"sha256:{found[1]}") if found else None
