"""Which uploaded disks may go: those of images that are gone, by the same rules as the images."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.domain import Digest
from pipeline.policy.retention.plan import over_limit
from pipeline.policy.retention.rules import Rules

_VERSION = r"v?\d+\.\d+\.\d+(?:-test(?:\.\d+)?)?"

_DIGESTS = r"([0-9a-f]{12})(?:-[0-9a-f]{12})?"
"""Of the image, and of the disk; keys of earlier versions of the pipeline have no second one."""


@dataclass(frozen=True)
class StoredDisk:
    """An object in the store: its key, bytes, and when it was written, where the store tells."""

    key: str
    size: int
    modified: datetime | None


@dataclass(frozen=True)
class DiskPlan:
    """Every object is in exactly one of the two."""

    goes: tuple[StoredDisk, ...]
    kept: Mapping[str, str]
    """By key, with the reason."""
    refused: str = ""
    """Why this plan must not be carried out as it is (a limit); empty when it may."""


def plan_disks(
    image: str, disks: Iterable[StoredDisk], kept: Collection[Digest], rules: Rules, now: datetime
) -> DiskPlan:
    """Decide over the objects in the folder where the disks of `image` are uploaded.

    `kept`: every digest that stays in the image's repository. A disk goes when its key is one that `object_key` makes
    for this image, no kept digest begins as the key says, and it is older than `older_than` (and than 24 hours).
    """
    ours = re.compile(
        rf"(?:.*/)?{re.escape(image)}-{_VERSION}-[A-Za-z0-9_]+-([0-9a-f]{{12}})(?:-[0-9a-f]{{12}})?\.qcow2"
    )
    short = {digest.short for digest in kept}
    goes: list[StoredDisk] = []
    reasons: dict[str, str] = {}
    for disk in disks:
        found = ours.fullmatch(disk.key)
        if not found:
            reasons[disk.key] = f"not a disk of {image}"
        elif found[1] in short:
            reasons[disk.key] = f"of an image that stays ({found[1]})"
        elif disk.modified is None:
            reasons[disk.key] = "of unknown age"
        elif now - disk.modified <= rules.age:
            reasons[disk.key] = "too young"
        else:
            goes.append(disk)
    mine = [reason for reason in reasons.values() if not reason.startswith("not ")]
    return DiskPlan(tuple(goes), reasons, over_limit(rules, len(goes), len(goes) + len(mine), "disks"))
