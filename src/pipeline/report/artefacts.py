"""The files that lie beside a result: console logs, screenshots, journals, openQA's answers."""

import base64
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pipeline.report import boot
from pipeline.report.excerpt import last_lines, plain

_REPORT_FILES = {"result.json", "summary.md", "junit.xml", "report.html"}
_IMAGES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_CONSOLE_NAMES = ("console", "serial")
_CONSOLE_BYTES = 64 * 1024
_CONSOLE_LINES = 80
_SCREENSHOT_BYTES = 2 * 1024**2
_SCREENSHOTS = 12


@dataclass(frozen=True)
class File:
    """A file beside the report: its path from there, and its size in bytes."""

    path: Path
    size: int

    @property
    def href(self) -> str:
        """The path as a relative link, safe whatever the name holds."""
        return quote(self.path.as_posix())


@dataclass(frozen=True)
class Console:
    """The end of a console log."""

    name: str
    text: str


@dataclass(frozen=True)
class Screenshot:
    """A picture as a data URI, so that the page needs no other file."""

    name: str
    uri: str


@dataclass(frozen=True)
class Artefacts:
    """What `collect` found, in the order of the paths."""

    files: tuple[File, ...] = ()
    consoles: tuple[Console, ...] = ()
    screenshots: tuple[Screenshot, ...] = ()
    boot_times: tuple[tuple[Path, str], ...] = ()
    """What each machine's systemd-analyze said, by the file's path."""


def collect(directory: Path) -> Artefacts:
    """Everything below a report's directory, the report's own files left out.

    Consoles are the files called `*console*` or `*serial*` that are no pictures: their last lines are read. Pictures
    are embedded when they are not too many or too large; all files are listed.
    """
    own = {directory / name for name in _REPORT_FILES}
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path not in own)
    files = tuple(File(path.relative_to(directory), path.stat().st_size) for path in paths)
    pictures = [file for file in files if file.path.suffix in _IMAGES and file.size <= _SCREENSHOT_BYTES]
    consoles = [file for file in files if _is_console(file.path)]
    return Artefacts(
        files,
        tuple(Console(file.path.as_posix(), _end_of(directory / file.path)) for file in consoles if file.size),
        tuple(Screenshot(file.path.as_posix(), _data_uri(directory / file.path)) for file in pictures[:_SCREENSHOTS]),
        tuple((file.path, _end_of(directory / file.path)) for file in files if file.path.name == boot.FILE),
    )


def _is_console(path: Path) -> bool:
    return path.suffix not in _IMAGES and any(name in path.name for name in _CONSOLE_NAMES)


def _end_of(path: Path) -> str:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _CONSOLE_BYTES))
        return last_lines(plain(stream.read().decode(errors="replace")), _CONSOLE_LINES)


def _data_uri(path: Path) -> str:
    return f"data:{_IMAGES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"
