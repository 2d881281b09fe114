"""Uploaded disks follow their images."""

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.domain import Digest
from pipeline.policy.retention import Rules
from pipeline.policy.retention.disks import StoredDisk, plan_disks
from pipeline.upload.key import object_key

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RULES = Rules(older_than="30d", max_percent=100)
KEPT, GONE = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)

DISK = Digest("sha256:" + "d" * 64)


def disk(version: str, digest: Digest, days: float | None = 90, image: str = "os", arch: str = "x86_64") -> StoredDisk:
    modified = None if days is None else NOW - timedelta(days=days)
    return StoredDisk(object_key(image, version, arch, digest, DISK), 10, modified)


@pytest.mark.parametrize(
    ("stored", "goes"),
    [
        (disk("1.2.3", GONE), True),
        (disk("v1.2.3-test.4", GONE), True),
        (disk("1.2.3", KEPT), False),
        (disk("1.2.3", GONE, days=29), False),
        (disk("1.2.3", GONE, days=None), False),
        (disk("1.2.3", GONE, image="os-lts"), False),
        (disk("1.2.3", GONE, image="my-os"), False),
        (StoredDisk(f"os-1.2.3-x86_64-{GONE.short}.qcow2", 1, NOW - timedelta(days=90)), True),
        (StoredDisk(f"os-1.2.3-x86_64-{GONE.short}-{DISK.short}.iso", 1, NOW - timedelta(days=90)), True),
        (StoredDisk(f"os-1.2.3-x86_64-{GONE.short}-{DISK.short}.ami.raw", 1, NOW - timedelta(days=90)), True),
        (StoredDisk(f"os-1.2.3-x86_64-{GONE.short}-{DISK.short}.txt", 1, NOW - timedelta(days=90)), False),
        (StoredDisk(f"os-1.2.3-x86_64-{KEPT.short}.qcow2", 1, NOW - timedelta(days=90)), False),
        (StoredDisk("os-1.2.3-x86_64.qcow2", 1, NOW - timedelta(days=90)), False),
        (StoredDisk("README", 1, NOW - timedelta(days=90)), False),
    ],
)
def test_a_disk_goes_when_its_image_is_gone_and_it_is_old(stored: StoredDisk, goes: bool) -> None:
    made = plan_disks("os", [stored], [KEPT], RULES, NOW, gone=[GONE])
    assert bool(made.goes) is goes
    assert (stored.key in made.kept) is not goes


def test_the_floor_of_24_hours_holds_for_disks_too() -> None:
    rules = Rules(older_than="0s", max_percent=100)
    made = plan_disks("os", [disk("1.0.0", GONE, 0.9), disk("1.0.1", GONE, 1.1)], [], rules, NOW, gone=[GONE])
    assert [one.key for one in made.goes] == [disk("1.0.1", GONE).key]


def test_limits_count_only_the_disks_of_this_image() -> None:
    stored = [disk(f"1.0.{n}", GONE) for n in range(3)] + [disk("1.0.0", GONE, image="other") for _ in range(9)]
    assert "max_percent" in plan_disks("os", [*stored, disk("2.0.0", KEPT)], [KEPT], Rules(), NOW, gone=[GONE]).refused


def test_a_disk_of_another_pipeline_in_the_same_bucket_is_never_touched() -> None:
    """Same image name, another repository: its digests are in no ledger or restore list of ours."""
    theirs = Digest("sha256:" + "d" * 64)
    made = plan_disks("os", [disk("1.0.0", theirs), disk("1.0.0", GONE)], [KEPT], RULES, NOW, gone=[GONE])
    assert [one.key for one in made.goes] == [disk("1.0.0", GONE).key]
    assert "never had" in made.kept[disk("1.0.0", theirs).key]
    assert not plan_disks("os", [disk("1.0.0", GONE)], [KEPT], RULES, NOW).goes, "nothing is known: nothing goes"
