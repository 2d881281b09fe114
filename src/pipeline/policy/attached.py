"""What counts as attached to a digest, by name: one definition for copying, retention and layouts.

Three ways exist: a manifest with a `subject`, found by the referrers API; the list behind the tag `sha256-<hex>` where
a registry lacks that API (OCI distribution specification 1.1, "Referrers tag schema"); and cosign's own tags
`sha256-<hex>.sig`, `.att` and `.sbom` (cosign, SIGNATURE_SPEC.md), which carry no subject at all. Our own evidence and
disks have a subject, and a tag for each besides, which is written once; so has each state of cosign's `.sig` that we
write.
"""

import re
from collections.abc import Iterable

from pipeline.domain import Channel, Digest, Tag
from pipeline.policy.names import RECORDS

FALLBACK = ""
"""The suffix of the list of referrers."""
COSIGN = (".sig", ".att", ".sbom")
"""The suffixes of what cosign attaches by name: signatures, attestations, bills of material."""

_ATTACHED = re.compile(r"sha256-([0-9a-f]{64})(\..+)?")
_OURS = re.compile(rf"{RECORDS}(?:evidence-[a-z]+|disk|signed)-([0-9a-f]{{64}})-[0-9a-f]{{36,40}}")
_EVIDENCE_DIGITS, _DISK_DIGITS = 36, 40
"""Of a digest, in a tag that has 128 characters at most."""


def evidence_tags(gate: Channel, subject: Digest) -> str:
    """How the tags of a gate's evidence on a digest begin, whichever image of the repository the digest is."""
    return f"{RECORDS}evidence-{gate}-{subject.hex}-"


def evidence_subjects(tags: Iterable[Tag], gate: Channel) -> set[Digest]:
    """The digests of which a list of tags has evidence of a gate."""
    begins = f"{RECORDS}evidence-{gate}-"
    return {found for tag in tags if tag.startswith(begins) and (found := subject_of_tag(tag))}


def evidence_tag(gate: Channel, subject: Digest, stored: Digest) -> Tag:
    """Where a piece of evidence lies, which nobody else writes."""
    return Tag(evidence_tags(gate, subject) + stored.hex[:_EVIDENCE_DIGITS])


def names_evidence(tag: Tag, stored: Digest) -> bool:
    """Whether a tag of evidence is the one of what lies behind it."""
    return tag.endswith(f"-{stored.hex[:_EVIDENCE_DIGITS]}")


def disk_tag(subject: Digest, stored: Digest) -> Tag:
    """Where a disk of an image lies."""
    return Tag(f"{RECORDS}disk-{subject.hex}-{stored.hex[:_DISK_DIGITS]}")


def signed_tags(subject: Digest) -> str:
    """How the tags begin that keep the signatures of an image."""
    return f"{RECORDS}signed-{subject.hex}-"


def signed_tag(subject: Digest, stored: Digest) -> Tag:
    """Where a state of an image's signatures is kept, which nobody else writes."""
    return Tag(signed_tags(subject) + stored.hex[:_DISK_DIGITS])


def signature_tag(subject: Digest) -> Tag:
    """Where cosign, podman, skopeo and bootc look for the signatures of an image."""
    return Tag(f"sha256-{subject.hex}{COSIGN[0]}")


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
