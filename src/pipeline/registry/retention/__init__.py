"""Deletes from a repository what nobody can need: lists it, follows the plan of policy.retention, checks afterwards."""

from pipeline.registry.retention.choose import DriverKind, open_driver
from pipeline.registry.retention.driver import Driver
from pipeline.registry.retention.kept import Kept
from pipeline.registry.retention.prune import prune, why_kept
from pipeline.registry.retention.record import refuse_while_pruning, see_whole
from pipeline.registry.retention.report import PruneReport
from pipeline.registry.retention.restore import Restored, RestoreList, list_tags, pruned_before, read_list, restore

__all__ = [
    "Driver",
    "DriverKind",
    "Kept",
    "PruneReport",
    "RestoreList",
    "Restored",
    "list_tags",
    "open_driver",
    "prune",
    "pruned_before",
    "read_list",
    "refuse_while_pruning",
    "restore",
    "see_whole",
    "why_kept",
]
