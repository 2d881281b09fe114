"""Which uploaded disks may go: those of images that this pipeline had and has no more, by the rules of the images."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pipeline.domain import Digest
from pipeline.policy.retention.plan import over_limit
from pipeline.policy.retention.rules import Rules

_VERSION = r"v?\d+\.\d+\.\d+(?:-test(?:\.\d+)?)?"
_DISK = r"(?:-[0-9a-f]{12,64})?"
"""The disk's own checksum, which older keys lack."""
SUFFIXES = r"qcow2|raw|iso|vmdk|vhd|ami\.raw|tar\.gz"
"""Of the files that are uploaded (`object_key`)."""


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
    image: str,
    disks: Iterable[StoredDisk],
    kept: Collection[Digest],
    rules: Rules,
    now: datetime,
    *,
    gone: Collection[Digest] = (),
) -> DiskPlan:
    """Decide over the objects in the folder where the disks of `image` are uploaded.

    `kept`: every digest that stays in the image's repositories. `gone`: those that its ledgers and restore lists name.
    A disk goes when its key is one that `object_key` makes for this image and names a digest of `gone`, none of `kept`,
    and it is older than `older_than` (and than 24 hours). Others may upload to the same place under the same name: what
    the books of this pipeline do not know is theirs.
    """
    ours = re.compile(rf"(?:.*/)?{re.escape(image)}-{_VERSION}-[A-Za-z0-9_]+-([0-9a-f]{{12}}){_DISK}\.(?:{SUFFIXES})")
    staying, known = {digest.short for digest in kept}, {digest.short for digest in gone}
    goes: list[StoredDisk] = []
    reasons: dict[str, str] = {}
    mine = 0
    for disk in disks:
        found = ours.fullmatch(disk.key)
        if not found:
            reasons[disk.key] = f"not a disk of {image}"
            continue
        if found[1] not in staying and found[1] not in known:
            reasons[disk.key] = f"of an image that this pipeline never had ({found[1]})"
            continue
        mine += 1
        if found[1] in staying:
            reasons[disk.key] = f"of an image that stays ({found[1]})"
        elif disk.modified is None:
            reasons[disk.key] = "of unknown age"
        elif now - disk.modified <= rules.age:
            reasons[disk.key] = "too young"
        else:
            goes.append(disk)
    return DiskPlan(tuple(goes), reasons, over_limit(rules, len(goes), mine, "disks"))
