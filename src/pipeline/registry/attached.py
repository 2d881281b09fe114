"""What counts as attached to a digest, by name. The definition lies with the policy: retention decides by it, too."""

from pipeline.policy.attached import (
    COSIGN,
    FALLBACK,
    attached_tags,
    cosign_tags,
    referrers_tag,
    signature_tag,
    signed_tag,
    signed_tags,
    subject_of_tag,
)

__all__ = [
    "COSIGN",
    "FALLBACK",
    "attached_tags",
    "cosign_tags",
    "referrers_tag",
    "signature_tag",
    "signed_tag",
    "signed_tags",
    "subject_of_tag",
]
