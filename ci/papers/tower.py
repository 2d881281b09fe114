"""The tower of src/pipeline: which part may import which, and a picture of which does."""

import ast
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src" / "pipeline"
PICTURE = ROOT / "docs" / "tower.svg"

TOWER = [
    ["main"],
    ["api"],
    ["ending"],
    ["commands", "lab"],
    ["stages"],
    ["gates"],
    ["world"],
    ["containers"],
    ["config"],
    ["image", "registry", "openqa", "upload", "vm"],
    ["policy", "trust"],
    ["report"],
    ["domain", "each", "errors", "program", "quantities", "version"],
]
"""From the top down; the parts of a floor may know each other."""

FLOORS = {part: number for number, parts in enumerate(TOWER) for part in parts}
MODULES = [file for file in sorted(SOURCES.rglob("*.py")) if file.parent != SOURCES or file.name != "__init__.py"]

_WIDTH, _BOX, _HEIGHT, _GAP, _RISE, _MARGIN = 960, 128, 34, 40, 76, 28
_EVERYWHERE = {"domain", "each", "errors", "program", "quantities", "version"}
"""The words, which every part uses: an arrow to them tells nothing."""
_STYLE = """\
.ground { fill: #ffffff } .box { fill: #eef2f7; stroke: #5b6b80 } .top { fill: #dbe8ff } .words { fill: #f3efe4 }
text { fill: #1d2733; font: 15px system-ui, sans-serif; text-anchor: middle }
path { fill: none; stroke: #5b6b80; stroke-opacity: 0.45 } marker path { fill: #5b6b80; stroke: none }
@media (prefers-color-scheme: dark) {
.ground { fill: #12181f } .box { fill: #1f2a36; stroke: #8fa3ba } .top { fill: #23395c } .words { fill: #38332a }
text { fill: #e6edf5 } path { stroke: #8fa3ba } marker path { fill: #8fa3ba }
}"""


def part(file: Path) -> str:
    """The part that a file belongs to: its folder of src/pipeline, or its own name there."""
    return file.relative_to(SOURCES).parts[0].removesuffix(".py")


def imported(file: Path) -> Iterator[str]:
    """Every module that a file names in an import, wherever it stands."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative imports hide where they lead"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def parts_imported(file: Path) -> set[str]:
    """The parts that a file takes something from, its own left out."""
    found = {name.split(".")[1] for name in imported(file) if name.startswith("pipeline.")}
    return found - {part(file)}


def picture() -> str:
    """The tower as SVG: a row for each floor, an arrow for each import that no longer way stands for."""
    places = {name: place for number, parts in enumerate(TOWER) for name, place in _row(number, parts)}
    shown = [_arrow(places[source], places[target]) for source, target in _arrows()]
    boxes = [_box(name, *place) for name, place in places.items()]
    height = 2 * _MARGIN + _RISE * (len(TOWER) - 1) + _HEIGHT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            "<title>The parts of src/pipeline, from the Dagger API at the top to the words at the bottom</title>",
            f"<style>\n{_STYLE}\n</style>",
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>',
            f'<rect class="ground" width="{_WIDTH}" height="{height}" rx="12"/>',
            *shown,
            *boxes,
            "</svg>\n",
        ]
    )


def _arrows() -> list[tuple[str, str]]:
    """Who imports whom further down, without what follows from the others: the transitive reduction."""
    uses: dict[str, set[str]] = {name: set() for name in FLOORS}
    for file in MODULES:
        uses[part(file)] |= {used for used in parts_imported(file) if FLOORS[used] > FLOORS[part(file)]} - _EVERYWHERE
    reached: dict[str, set[str]] = {}
    for name in sorted(FLOORS, key=FLOORS.__getitem__, reverse=True):
        reached[name] = uses[name].union(*(reached[used] for used in uses[name]))
    return [
        (name, used)
        for name in sorted(uses)
        for used in sorted(uses[name])
        if not any(used in reached[between] for between in uses[name])
    ]


def _row(number: int, parts: list[str]) -> Iterator[tuple[str, tuple[int, int]]]:
    """The parts of a floor with the left upper corner of each, in the middle of the picture."""
    left = (_WIDTH - len(parts) * _BOX - (len(parts) - 1) * _GAP) // 2
    for place, name in enumerate(parts):
        yield name, (left + place * (_BOX + _GAP), _MARGIN + number * _RISE)


def _box(name: str, left: int, top: int) -> str:
    kind = " words" if name in _EVERYWHERE else " top" if name == "main" else ""
    middle = left + _BOX // 2
    return (
        f'<rect class="box{kind}" x="{left}" y="{top}" width="{_BOX}" height="{_HEIGHT}" rx="7"/>'
        f'<text x="{middle}" y="{top + 22}">{escape(name)}</text>'
    )


def _arrow(source: tuple[int, int], target: tuple[int, int]) -> str:
    """From the lower edge of a box to the upper edge of another; past the floors between, it bends outwards."""
    x1, y1 = source[0] + _BOX // 2, source[1] + _HEIGHT
    x2, y2 = target[0] + _BOX // 2, target[1]
    floors = (target[1] - source[1]) // _RISE
    side = 1 if x1 + x2 >= _WIDTH else -1
    bend = side * 62 * (floors - 1)
    return f'<path marker-end="url(#tip)" d="M{x1} {y1}C{x1 + bend} {y1 + 30} {x2 + bend} {y2 - 30} {x2} {y2}"/>'
