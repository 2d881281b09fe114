"""The words of the pipeline as types: parsed once at the border, trusted afterwards."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class _Text(str):
    """A string that matches the pattern of its kind; pydantic reads and writes it as a plain string."""

    PATTERN: re.Pattern[str]
    SHAPE: str

    def __new__(cls, value: str) -> Self:
        """Raise ValueError, naming the expected shape, when `value` is something else."""
        if not cls.PATTERN.fullmatch(value):
            raise ValueError(f"{value!r} is not {cls.SHAPE}")
        return super().__new__(cls, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
        )


class Digest(_Text):
    """The content address of a manifest or blob (OCI image specification, descriptor: digest); sha256 only."""

    PATTERN = re.compile(r"sha256:[0-9a-f]{64}")
    SHAPE = "a digest (sha256: and 64 hexadecimal digits)"

    @property
    def hex(self) -> str:
        """The 64 digits without the algorithm."""
        return self.removeprefix("sha256:")

    @property
    def short(self) -> str:
        """The first 12 digits: what people and file names carry (`D[:12]`)."""
        return self.hex[:12]


class Commit(_Text):
    """A full git commit id."""

    PATTERN = re.compile(r"[0-9a-f]{40}")
    SHAPE = "a commit (40 hexadecimal digits)"


class Tag(_Text):
    """An image tag (OCI distribution specification, `<reference>` as a tag)."""

    PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
    SHAPE = "an image tag"


def writable(text: str) -> str:
    """What came from outside, with `?` for halves of characters: JSON can spell them, and no file can hold them."""
    return text.encode(errors="replace").decode()


_LONGEST_LINE = 1000


def one_line(text: str) -> str:
    """What somebody said for the record: one line that a terminal can show, of bounded length."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"


class Channel(StrEnum):
    """The moving tags. Their values are what they are called, unless an image's `names` say otherwise (`Names`)."""

    NEXT = "next"
    TESTING = "testing"
    STABLE = "stable"


class Refresh(StrEnum):
    """Whether a commit that has a candidate gets another one."""

    NONE = "none"
    """It does not: what is there is taken."""
    AUTO = "auto"
    """It does when an image that it is built on has changed."""
    ALWAYS = "always"
    """It does, with every step of the build run again: packages move although the base does not."""


class Outcome(StrEnum):
    """How a command ended (DESIGN, outcomes)."""

    PASSED = "passed"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    GATE_FAILED = "gate_failed"
    USAGE = "usage"
    PRECONDITION = "precondition"
    CONFLICT = "conflict"
    PARTIAL = "partial"
    INFRA = "infra"

    @property
    def exit_code(self) -> int:
        """0 when nothing is wrong, else one number for each kind of cause."""
        return _EXIT_CODES[self]


def worst(outcomes: Sequence[Outcome]) -> Outcome:
    """What a reader must hear first: half-moved tags, then a verdict on an image, then what stopped the others."""
    return min(outcomes, key=_WORST_FIRST.index)


_WORST_FIRST = (
    Outcome.PARTIAL,
    Outcome.GATE_FAILED,
    Outcome.CONFLICT,
    Outcome.PRECONDITION,
    Outcome.USAGE,
    Outcome.INFRA,
    Outcome.PASSED,
    Outcome.SUPERSEDED,
    Outcome.UNCHANGED,
)

_EXIT_CODES = {
    Outcome.PASSED: 0,
    Outcome.UNCHANGED: 0,
    Outcome.SUPERSEDED: 0,
    Outcome.GATE_FAILED: 1,
    Outcome.USAGE: 2,
    Outcome.PRECONDITION: 3,
    Outcome.CONFLICT: 4,
    Outcome.PARTIAL: 5,
    Outcome.INFRA: 6,
}


@dataclass(frozen=True)
class Repository:
    """Where the tags of one image live: registry host (with port) and path, as in `ghcr.io/tuna-os/yellowfin`.

    Case says nothing in a host (RFC 4343), which is in small letters here.
    """

    host: str
    path: str

    _LABEL: ClassVar[str] = "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"
    _PORT: ClassVar[str] = ":[1-9][0-9]{0,4}"
    _PART: ClassVar[str] = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
    PATTERN: ClassVar[str] = (
        rf"^({_LABEL}(\.{_LABEL})+({_PORT})?|{_LABEL}(\.{_LABEL})*{_PORT}|localhost)/{_PART}(/{_PART})*$"
    )
    """As distribution's reference grammar has it (distribution/reference, regexp.go), always with a host."""
    LONGEST: ClassVar[int] = 255

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise ValueError when there is no registry host, a tag or a digest, or characters a registry refuses."""
        host, _, path = text.partition("/")
        port = int(host.partition(":")[2] or 1) if re.fullmatch(cls.PATTERN.removesuffix("$"), text) else 0
        if not 0 < port < 1 << 16 or len(text) > cls.LONGEST:
            raise ValueError(f"{text!r} is not a repository such as ghcr.io/owner/image (host and path, no tag)")
        return cls(host.lower(), path)

    def __str__(self) -> str:
        return f"{self.host}/{self.path}"

    def at(self, digest: Digest) -> str:
        """The reference by digest."""
        return f"{self}@{digest}"

    def tagged(self, tag: Tag) -> str:
        """The reference by tag."""
        return f"{self}:{tag}"


_SAME = {"arm64/v8": "arm64", "amd64/v1": "amd64", "arm": "arm/v7"}


def usual_platform(text: str) -> str:
    """`os/architecture[/variant]` in one spelling: `linux/arm64/v8` is `linux/arm64`, `linux/amd64/v2` stays apart.

    The spelling is that of containerd's platforms package (`Normalize`), where `linux/arm` is `linux/arm/v7`.
    """
    system, _, processor = text.partition("/")
    return f"{system}/{_SAME.get(processor, processor)}" if processor else text
