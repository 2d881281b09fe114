"""What may be deleted from a repository: rules as data, a walk over its graph, and a plan; no I/O."""

from pipeline.policy.retention.graph import Blob, Graph, Kind, Manifest, UnsupportedDigest, read_manifest
from pipeline.policy.retention.plan import Deletion, RetentionPlan, Untag, plan, undecided
from pipeline.policy.retention.rules import FLOOR, Rules

__all__ = [
    "FLOOR",
    "Blob",
    "Deletion",
    "Graph",
    "Kind",
    "Manifest",
    "RetentionPlan",
    "Rules",
    "UnsupportedDigest",
    "Untag",
    "plan",
    "read_manifest",
    "undecided",
]
