"""report.html: one page that stands alone, without scripts and without anything fetched from elsewhere."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import jinja2

from pipeline.quantities import duration_text, size_text
from pipeline.report import boot, wording
from pipeline.report.artefacts import Artefacts
from pipeline.report.excerpt import bounded
from pipeline.report.model import Phase, Result

_STEPS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_TICKS = 8


@dataclass(frozen=True)
class Bar:
    """One phase on the timeline; `left` and `width` in percent of the whole."""

    name: str
    left: float
    width: float
    took: str
    estimated: bool = False


@dataclass(frozen=True)
class Tick:
    """One mark on the time axis, `left` in percent of the whole."""

    left: float
    text: str


def page(result: Result, artefacts: Artefacts | None = None) -> str:
    """The whole page. Everything that came out of the image is escaped; pictures are data URIs."""
    artefacts = artefacts or Artefacts()
    boots = [boot.chart(path, said, result.timeline) for path, said in artefacts.boot_times]
    return render(
        "report.html",
        result=bounded(result),
        artefacts=artefacts,
        timeline=drawn(result.timeline),
        boots=[(one, drawn(one.phases, one.estimated)) for one in boots if one],
        wording=wording,
    )


def render(template: str, **values: object) -> str:
    """A page by its template, with everything escaped."""
    return _environment().get_template(template).render(**values)


@dataclass(frozen=True)
class Chart:
    """Bars over one time axis."""

    bars: list[Bar]
    ticks: list[Tick]


def drawn(phases: Sequence[Phase], estimated: Collection[str] = ()) -> Chart:
    """The phases as bars with their axis; those of `estimated` are marked."""
    return Chart(bars(phases, estimated), ticks(max((phase.end for phase in phases), default=0.0)))


def bars(timeline: Sequence[Phase], estimated: Collection[str] = ()) -> list[Bar]:
    """The phases as bars; the widest end is 100 percent."""
    whole = max((phase.end for phase in timeline), default=0.0) or 1.0
    return [
        Bar(
            phase.name,
            round(100 * phase.start / whole, 3),
            round(100 * (phase.end - phase.start) / whole, 3),
            duration_text(phase.end - phase.start),
            phase.name in estimated,
        )
        for phase in timeline
    ]


def ticks(whole: float) -> list[Tick]:
    """Round times from 0 up to `whole` seconds, few enough to be read."""
    if whole <= 0:
        return []
    step = next((step for step in _STEPS if whole / step < _MOST_TICKS), _STEPS[-1])
    return [Tick(round(100 * n * step / whole, 3), _clock(n * step)) for n in range(int(whole / step) + 1)]


def _clock(seconds: float) -> str:
    return "0" if not seconds else f"{seconds:g}s" if seconds < 60 else duration_text(seconds)


@cache
def _environment() -> jinja2.Environment:
    templates = files("pipeline.report") / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (templates / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["duration"] = duration_text
    environment.filters["bytes"] = size_text
    return environment
