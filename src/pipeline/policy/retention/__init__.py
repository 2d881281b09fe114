"""What may be deleted from a repository: rules as data, a walk over its graph, and a plan; no I/O."""

from pipeline.policy.retention.graph import Blob, Graph, Kind, Manifest, read_manifest
from pipeline.policy.retention.plan import Deletion, RetentionPlan, Untag, plan
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
    "Untag",
    "plan",
    "read_manifest",
]
