"""Platforms as data: how `os/architecture[/variant]` is called elsewhere, and which of them a gate boots."""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

MACHINES = {
    "386": "i686",
    "amd64": "x86_64",
    "arm": "armv7l",
    "arm64": "aarch64",
    "loong64": "loongarch64",
    "mips64le": "mips64",
    "ppc64": "ppc64",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
"""What the kernel calls a processor (`uname -m`), by Go's name for it (OCI image specification, GOARCH)."""

BOOTABLE = frozenset({"x86_64", "aarch64"})
"""The machines that the boot gate builds."""

PATTERN = rf"^linux/({'|'.join(MACHINES)})(/[a-z0-9.]+)?$"
"""How a platform is written."""


def checked(platform: str) -> str:
    """The platform itself; ValueError when it is none that the tools know."""
    if not re.fullmatch(PATTERN.removesuffix("$"), platform):
        close = get_close_matches(platform, [f"linux/{processor}" for processor in MACHINES], n=1)
        raise ValueError(
            f"expected linux/PROCESSOR or linux/PROCESSOR/VARIANT, one of {', '.join(sorted(MACHINES))}"
            + (f"; did you mean {close[0]}?" if close else "")
        )
    return platform


def machine(platform: str) -> str:
    """What its kernel calls the processor: `linux/amd64/v2` is `x86_64`."""
    return MACHINES[platform.split("/")[1]]


def short_name(platform: str) -> str:
    """What checks, files and disks of a platform are called: `x86_64`, and `x86_64_v2` of `linux/amd64/v2`."""
    _, _, *variant = platform.split("/")
    return "_".join((machine(platform), *(part.replace(".", "_") for part in variant)))


def choice(platform: str) -> list[str]:
    """The options by which skopeo takes the image of a platform out of an index."""
    system, processor, *variant = platform.split("/")
    chosen = ["--override-os", system, "--override-arch", processor]
    return [*chosen, "--override-variant", variant[0]] if variant else chosen


def booted(platforms: Iterable[str], named: Collection[str] | None, excused: Mapping[str, str]) -> list[str]:
    """Those of an image's platforms whose disk boots in the gate: the ones named, or all that can; no excused ones."""
    wanted = [platform for platform in platforms if platform not in excused]
    return [one for one in wanted if (one in named if named is not None else machine(one) in BOOTABLE)]


def unexcused(platforms: Iterable[str], named: Collection[str] | None, excused: Mapping[str, str]) -> list[str]:
    """Those that would be promoted without a boot and without a word about it."""
    there = list(platforms)
    boots = booted(there, named, excused)
    return [platform for platform in there if platform not in boots and platform not in excused]
