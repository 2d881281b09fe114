"""What counts as attached to a digest, by name; retention decides by the same definition, which lies with the policy."""

from pipeline.policy.attached import (
    COSIGN,
    FALLBACK,
    attached_tags,
    cosign_tags,
    referrers_tag,
    subject_of_tag,
)

__all__ = ["COSIGN", "FALLBACK", "attached_tags", "cosign_tags", "referrers_tag", "subject_of_tag"]
