"""What hangs on an image by the name of a tag, where no manifest says so: the one definition of it."""

import re

from pipeline.domain import Digest, Tag

_SUFFIXES = ("", ".sig", ".att", ".sbom")
_ATTACHED = re.compile(rf"sha256-([0-9a-f]{{64}})({'|'.join(map(re.escape, _SUFFIXES))})")


def attached_tags(digest: Digest) -> tuple[Tag, ...]:
    """The tags that attach something to `digest`.

    The bare one lists referrers where a registry has no API for them (OCI distribution specification 1.1, referrers tag
    schema); the others are cosign's signatures, attestations and bills of materials.
    """
    return tuple(Tag(f"sha256-{digest.hex}{suffix}") for suffix in _SUFFIXES)


def subject_of_tag(tag: Tag) -> Digest | None:
    """What such a tag is attached to; None for any other tag."""
    found = _ATTACHED.fullmatch(tag)
    return Digest(f"sha256:{found[1]}") if found else None
