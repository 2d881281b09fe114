"""The board: one page and some badges that say where the channels stand, without scripts and nothing from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from html import escape

from pipeline.quantities import duration_text
from pipeline.report.page import render
from pipeline.report.text import ChannelLine

SOON = timedelta(days=30)
"""So long before its last day a waiver is shown."""
_SHOWN = 10
_CHARACTER = 7
"""Width of one character of a badge, in pixels at 11 px."""


class Tone(StrEnum):
    """How good it is; the values are classes of the page's style."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"

    @property
    def colour(self) -> str:
        """With white text on it, readable (contrast above 4.5)."""
        return {Tone.GOOD: "#1a7f43", Tone.WARN: "#8a5700", Tone.BAD: "#c5283d"}[self]


@dataclass(frozen=True)
class Step:
    """One entry of the ledger of stable."""

    at: datetime
    what: str
    """`promotion`, `rollback`, `hold` …"""
    tags: Sequence[str]
    by: str
    reason: str


@dataclass(frozen=True)
class Ending:
    """A waiver, and its last day."""

    until: date
    text: str


@dataclass(frozen=True)
class Standing:
    """One image."""

    name: str
    place: str
    lines: Sequence[ChannelLine]
    stale_after: dict[str, float] = field(default_factory=dict)
    """Seconds by channel."""
    steps: Sequence[Step] = ()
    """Newest first."""

    def tone(self, line: ChannelLine) -> Tone:
        """Bad without passed evidence, doubtful when it is old or on hold."""
        if line.digest and line.evidence != "passed":
            return Tone.BAD
        limit = self.stale_after.get(line.channel.value)
        old = limit is not None and line.age is not None and line.age > limit
        return Tone.WARN if old or "on hold" in line.note or not line.digest else Tone.GOOD


def board(images: Sequence[Standing], waivers: Sequence[Ending], now: datetime) -> dict[str, str]:
    """index.html and badges/IMAGE-CHANNEL.svg, as text by path."""
    pages = {
        "index.html": render(
            "board.html",
            images=images,
            shown=_SHOWN,
            waivers=ending(waivers, now.date()),
            today=now.date(),
            now=now,
        )
    }
    for image in images:
        for line in image.lines:
            said = line.version or (line.digest.short if line.digest else "none")
            age = "" if line.age is None else f" · {duration_text(line.age)}"
            pages[f"badges/{image.name}-{line.channel.value}.svg"] = badge(
                line.channel.value, f"{said}{age}", image.tone(line)
            )
    return pages


def ending(waivers: Sequence[Ending], today: date) -> list[Ending]:
    """Those that have ended or will end soon, the next one first."""
    return sorted((one for one in waivers if one.until - today <= SOON), key=lambda one: one.until)


def badge(label: str, said: str, tone: Tone) -> str:
    """A small picture with two words."""
    left, right = (len(text) * _CHARACTER + 12 for text in (label, said))
    title = escape(f"{label}: {said}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<rect width="{left + right}" height="20" rx="3" fill="{tone.colour}"/>'
        f'<path d="M3 0h{left - 3}v20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z" fill="#444"/>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="{left / 2:g}" y="14">{escape(label)}</text>'
        f'<text x="{left + right / 2:g}" y="14">{escape(said)}</text>'
        "</g></svg>\n"
    )
