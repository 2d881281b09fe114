"""How a boot spent its time: what systemd measured, and what only the serial console tells marked as an estimate."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import PurePath

from pipeline.report.model import Phase

FILE = "systemd-analyze.txt"
"""What `systemd-analyze time` said, in the folder of each machine (`vm-ARCH`)."""

_MEASURED = re.compile(r"((?:\d[\d.]*(?:y|month|w|d|h|min|s|ms|us) ?)+)\((firmware|loader|kernel|initrd|userspace)\)")
_LONGEST = 1000
"""Characters of such a line that are read: systemd's has 200, and anybody may push a report beside an image."""
_UNITS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "min": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
    "month": 2629800,
    "y": 31557600,
}
_SEEN = ("firmware", "kernel", "userspace", "ready")
"""The timeline's phases of a first boot, by what the console showed."""

BY_SYSTEMD = "by systemd-analyze"
BY_BOTH = "firmware and loader estimated by when the kernel's first line was seen, the rest by systemd-analyze"
BY_CONSOLE = "estimated by what the serial console showed"


@dataclass(frozen=True)
class Boot:
    """The chart of one boot: where it comes from, and its phases, each beginning where the one before ends."""

    name: str
    source: str
    phases: tuple[Phase, ...]
    estimated: frozenset[str] = frozenset()
    """Names of the phases that nobody measured."""


def chart(path: PurePath, said: str, timeline: Sequence[Phase]) -> Boot | None:
    """The boot of the machine whose FILE is at `path` in the report and says `said`; None when nothing is known.

    `timeline` is that of the whole report: of several platforms or images, each name has them in front.
    """
    name = "the machine" if path.parent == PurePath() else path.parent.as_posix()
    measured, seen = measured_by_systemd(said), _seen(path, timeline)
    if "firmware" in measured:
        return Boot(name, BY_SYSTEMD, _in_a_row(measured))
    if measured and "firmware" in seen:
        first = "firmware and loader"
        return Boot(name, BY_BOTH, _in_a_row({first: seen["firmware"]} | measured), frozenset({first}))
    if measured:
        return Boot(name, BY_SYSTEMD, _in_a_row(measured))
    return Boot(name, BY_CONSOLE, _in_a_row(seen), frozenset(seen)) if seen else None


def measured_by_systemd(said: str) -> dict[str, float]:
    """Seconds of each phase that `systemd-analyze time` names, in its order (systemd-analyze(1)).

    Firmware and loader are there only when the boot loader told them (UEFI, systemd's boot loader interface).
    """
    line = next((line for line in said.splitlines() if line.startswith("Startup finished in")), "")
    return {name: _seconds(text) for text, name in _MEASURED.findall(line[:_LONGEST])}


def _seconds(text: str) -> float:
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d{1,9}(?:\.\d{1,9})?)([a-z]+)", text))


def _seen(path: PurePath, timeline: Sequence[Phase]) -> dict[str, float]:
    """The phases of this machine's first boot in the timeline."""
    took = {phase.name: phase.end - phase.start for phase in timeline}
    *images, machine = path.parent.parts or ("",)
    image, arch = f"{images[-1]}: " if images else "", f"{machine.removeprefix('vm-')}/"
    for prefix in (image + arch, image, arch, ""):
        if found := {name: took[prefix + name] for name in _SEEN if prefix + name in took}:
            return found
    return {}


def _in_a_row(seconds: Mapping[str, float]) -> tuple[Phase, ...]:
    ends = accumulate(seconds.values(), initial=0.0)
    return tuple(
        Phase(name=name, start=start, end=end) for name, (start, end) in zip(seconds, pairwise(ends), strict=True)
    )
