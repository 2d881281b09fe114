"""Deletes from a repository what nobody can need: lists it, follows the plan of policy.retention, checks afterwards."""

from pipeline.registry.retention.apply import restore
from pipeline.registry.retention.choose import DriverKind, open_driver
from pipeline.registry.retention.driver import Driver
from pipeline.registry.retention.prune import prune, why_kept
from pipeline.registry.retention.record import refuse_while_pruning, see_whole
from pipeline.registry.retention.report import PruneReport

__all__ = [
    "Driver",
    "DriverKind",
    "PruneReport",
    "open_driver",
    "prune",
    "refuse_while_pruning",
    "restore",
    "see_whole",
    "why_kept",
]
