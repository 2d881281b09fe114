"""No file system of the freshly booted system is nearly full."""

from dataclasses import dataclass

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found

WRITTEN_TO = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "bcachefs"}
"""Types that fill up; images such as erofs and squashfs are full by nature."""


@dataclass(frozen=True)
class Usage:
    """A line of `df`."""

    device: str
    mount: str
    percent: int


async def _look(session: Session) -> Found:
    space = await session.guest.out("df", "-P", "-T", "-k")
    inodes = await session.guest.out("df", "-P", "-T", "-i")
    return judge_usage(usages(space), usages(inodes), session.spec.disk_budget_percent, f"{space}\n\n{inodes}")


def usages(table: str) -> list[Usage]:
    """The file systems of `df -PT`, each device once."""
    found: dict[str, Usage] = {}
    for line in table.splitlines()[1:]:
        words = line.split(maxsplit=6)
        if len(words) == 7 and words[1] in WRITTEN_TO and words[5].endswith("%"):
            found.setdefault(words[0], Usage(words[0], words[6], int(words[5][:-1])))
    return [*found.values()]


def judge_usage(space: list[Usage], inodes: list[Usage], limit: float, output: str = "") -> Found:
    """The verdict on how full space and inodes are."""
    full = [f"{usage.mount} is {usage.percent} % full" for usage in space if usage.percent > limit]
    full += [f"{usage.mount} has {usage.percent} % of its inodes in use" for usage in inodes if usage.percent > limit]
    note = ", ".join(f"{usage.mount} {usage.percent} %" for usage in space)
    return Found(full, f"at most {limit:g} %", note=note, output=output)


CHECK = VmCheck("disk-usage", _look)
