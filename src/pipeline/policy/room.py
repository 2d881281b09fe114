"""What a step takes of the engine's disk, from the sizes of the image itself; all of them in bytes."""

from dataclasses import dataclass

from pipeline.quantities import size_text

UNPACKED = 2.7
"""What compressed layers come to as files, as a rule: 8 GB of 3 GB."""


@dataclass(frozen=True)
class Need:
    """A step's share of the disk at its height."""

    step: str
    least: int
    """Without so much it cannot end: no compressed layer unpacks to less than it is."""
    about: int
    """As a rule."""

    def told(self, free: int) -> str:
        """For people, before it begins."""
        return f"{self.step} takes about {size_text(self.about)} of the engine's disk; {size_text(free)} are free"

    def refusal(self, free: int) -> str:
        """Why it is not begun; empty when it may be."""
        if free >= self.least:
            return ""
        return (
            f"{self.told(free)}, and less than {size_text(self.least)} cannot be enough. This says nothing about the "
            "image, and nothing was begun: make room on the engine's machine, then run the command again."
        )


def to_build(name: str, compressed: int) -> Need:
    """An image like the last one: its layers in podman's storage, and as the layout that is pushed."""
    return Need(f"Building {name}", compressed, round(compressed * (1 + UNPACKED)))


def to_test(name: str, compressed: int, stable_disk: int) -> Need:
    """The layout, the storage that the builder reads, its build root and its raw disk, the disk, and stable's.

    The engine may have the layout already, and never has the storage and the disk.
    """
    files = round(compressed * UNPACKED)
    return Need(f"The disk of {name} and its boot", 2 * compressed, compressed + 4 * files + stable_disk)


def to_release(name: str, disks: int) -> Need:
    """The disks that were tested; those that the engine still has take nothing more."""
    return Need(f"Handing the disks of {name} to openQA", 0, disks)
