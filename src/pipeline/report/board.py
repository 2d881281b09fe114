"""The board: one page and some badges that say where the channels stand, without scripts and nothing from elsewhere."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from html import escape

from pipeline.domain import Channel, Digest
from pipeline.quantities import duration_text, size_text
from pipeline.report.model import Result
from pipeline.report.page import page, render
from pipeline.report.text import ChannelLine

SOON = timedelta(days=30)
"""So long before its last day a waiver is shown."""
_SHOWN = 10
_FEW = 6
"""Images that need no overview before their sections."""
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
class Between:
    """What one channel has that the one behind it lacks."""

    ahead: Channel
    behind: Channel
    count: int | None
    """Of commits; None when git's history does not hold both ends."""
    commits: Sequence[str]
    """One line each, newest first."""
    days: float | None
    """From the creation of the one image to that of the other."""
    packages: Sequence[str] | None
    """Changes, one a line; None without a list of both."""
    compared: str = ""
    """What said so of both."""


@dataclass(frozen=True)
class Released:
    """A version as its gates measured it; None is what was not measured."""

    version: str
    at: datetime
    digest: Digest
    boot: float | None = None
    """Seconds from power on until start-up had ended."""
    emulated: bool = False
    """Whether QEMU had no KVM for that."""
    size: int | None = None
    """Bytes of the compressed layers."""
    upgrade: int | None = None
    """Bytes that an installed system fetched for the upgrade from the stable before."""
    taken_back: bool = False
    """Whether stable was rolled back from it."""


@dataclass(frozen=True)
class Measure:
    """One column of the releases: a bar for each, the largest as long as the column."""

    name: str
    of: Callable[[Released], float | None]
    text: Callable[[float], str]

    def widths(self, releases: Sequence[Released]) -> list[tuple[str, float]]:
        """What to write and the bar's length in percent; an empty text where nothing was measured."""
        values = [self.of(one) for one in releases]
        most = max((value for value in values if value), default=1.0)
        return [("", 0.0) if value is None else (self.text(value), round(100 * value / most, 1)) for value in values]


MEASURES = (
    Measure("boot", lambda one: one.boot, duration_text),
    Measure("image", lambda one: one.size, lambda value: size_text(int(value))),
    Measure("upgrade", lambda one: one.upgrade, lambda value: size_text(int(value))),
)


@dataclass(frozen=True)
class Report:
    """What a gate found on a digest."""

    gate: Channel
    digest: Digest
    result: Result
    links: Sequence[str] = ()
    """To openQA's jobs."""

    def path(self, image: str) -> str:
        """Where its page lies beside the board."""
        return f"reports/{image}/{self.gate.value}-{self.digest.short}.html"


@dataclass(frozen=True)
class Standing:
    """One image."""

    name: str
    place: str
    lines: Sequence[ChannelLine]
    stale_after: dict[str, float] = field(default_factory=dict)
    """Seconds by channel."""
    signed: Collection[Channel] = ()
    """The channels whose evidence counts only with a signature, so that what is shown has one."""
    between: Sequence[Between] = ()
    releases: Sequence[Released] = ()
    """Newest first."""
    reports: Sequence[Report] = ()
    """Of the gates that the digests of the channels passed."""
    failed: Sequence[Report] = ()
    """Of gates that stopped a digest, the last one first."""
    unread: int = 0
    """Digests that no channel took and whose reports were too many to be read."""
    steps: Sequence[Step] = ()
    """Newest first."""

    def tone(self, line: ChannelLine) -> Tone:
        """Bad without passed evidence, doubtful when it is old or on hold."""
        if line.digest and line.evidence != "passed":
            return Tone.BAD
        limit = self.stale_after.get(line.channel.value)
        old = limit is not None and line.age is not None and line.age > limit
        return Tone.WARN if old or "on hold" in line.note or not line.digest else Tone.GOOD

    @property
    def charted(self) -> list[tuple[Released, list[tuple[str, float]]]]:
        """Each release with the text and the bar of every measure."""
        columns = [measure.widths(self.releases) for measure in MEASURES]
        return list(zip(self.releases, map(list, zip(*columns, strict=True)), strict=True))

    def reports_on(self, digest: Digest) -> list[Report]:
        """Those that there are pages of."""
        return [one for one in self.reports if one.digest == digest]


def board(images: Sequence[Standing], waivers: Sequence[Ending], now: datetime) -> dict[str, str]:
    """index.html, reports/IMAGE/GATE-DIGEST.html and badges/IMAGE-CHANNEL.svg, as text by path."""
    pages = {
        "index.html": render(
            "board.html",
            images=images,
            overview=len(images) > _FEW,
            measures=MEASURES,
            shown=_SHOWN,
            waivers=ending(waivers, now.date()),
            today=now.date(),
            now=now,
        )
    }
    for image in images:
        pages |= {one.path(image.name): page(one.result) for one in (*image.reports, *image.failed)}
        pages |= {_badge_path(image, line): _badge_of(image, line) for line in image.lines}
    return pages


def _badge_path(image: Standing, line: ChannelLine) -> str:
    return f"badges/{image.name}-{line.channel.value}.svg"


def _badge_of(image: Standing, line: ChannelLine) -> str:
    said = line.version or (line.digest.short if line.digest else "none")
    age = "" if line.age is None else f" · {duration_text(line.age)}"
    return badge(line.channel.value, f"{said}{age}", image.tone(line))


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
