"""Durations and sizes as people write them in pipeline.toml: `90s`, `4h`, `30d`, `20GiB`; and times as servers do."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from fractions import Fraction
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_MOST = 2**63
"""Seconds or bytes beyond which nothing is meant: more than any file, any age, any counter holds."""
_DIGITS = 19
_LONGEST = 100 * 365 * 86400
"""Seconds, a hundred years: more than that cannot be taken from today where dates end."""
_SECONDS = {"ms": Fraction(1, 1000)} | {
    unit: Fraction(count) for unit, count in {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}.items()
}
_BYTES = {"B": Fraction(1)} | {
    prefix + suffix: Fraction(base**power)
    for power, prefix in enumerate("kMGT", start=1)
    for suffix, base in (("B", 1000), ("iB", 1024))
}
_BYTES |= {"KB": Fraction(1000), "KiB": Fraction(1024)}
_PERCENT = {"%": Fraction(1)}


def counted(count: int, what: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def seconds(text: object) -> float:
    """Read a duration: one or more numbers with a unit (ms, s, m, h, d, w), as in `90s` or `1h30m`."""
    return float(_read(text, _SECONDS, "a duration such as 90s, 30m, 4h or 30d"))


def size(text: object) -> int:
    """Read a size: a number with a unit (B, kB, MB, GB, TB; KiB, MiB, GiB, TiB), as in `20GiB`."""
    return int(_read(text, _BYTES, "a size such as 512MiB or 20GB"))


def percent(text: object) -> float:
    """Read a share: a number with a percent sign, as in `25%`."""
    return float(_read(text, _PERCENT, "a percentage such as 25%"))


def whole(text: str) -> int | None:
    """Read a count as servers write it, in plain digits; None for anything else, and for what no counter holds."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else None


def http_date(text: str) -> datetime | None:
    """Read a time of a header (RFC 9110 section 5.6.7), which is one of UTC, also where it does not say so."""
    try:
        found = parsedate_to_datetime(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def size_text(count: int) -> str:
    """Write bytes the way people read them: `512 B`, `1.5 MiB`, `20 GiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def duration_text(value: float) -> str:
    """Write seconds the way people read them: `0.8s`, `14s`, `3m05s`, `2h10m`."""
    if value < 10:
        return f"{value:.1f}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d"


def _read(text: object, units: dict[str, Fraction], expected: str) -> Fraction:
    if not isinstance(text, str) or not re.fullmatch(r"([0-9]{1,30}(\.[0-9]{1,1100})?\s*([a-zA-Z]+|%)\s*)+", text):
        raise ValueError(f"expected {expected}")
    total = Fraction(0)
    for number, unit in re.findall(r"([0-9.]+)\s*([a-zA-Z]+|%)", text):
        if unit not in units:
            raise ValueError(f"expected {expected}; the unit {unit!r} is not known")
        total += Fraction(number) * units[unit]
    if total > _MOST:
        raise ValueError(f"expected {expected}; this is too much to be meant")
    return total


def _written(value: float) -> str:
    """A number as `_read` takes it: all its digits, no exponent."""
    digits = format(Decimal(repr(float(value))), "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _text(title: str, units: dict[str, Fraction]) -> WithJsonSchema:
    """How it is written, for editors."""
    known = "|".join(sorted(units, key=len, reverse=True))
    more = "+" if "s" in units else ""
    pattern = rf"^([0-9]+(\.[0-9]+)?\s*({known})\s*){more}$"
    return WithJsonSchema({"type": "string", "title": title, "pattern": pattern})


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    PlainSerializer(lambda value: _written(value) + "s", when_used="json"),
    _text("duration", _SECONDS),
]
"""Seconds, written as `90s` or `4h`; in JSON too, so that it can be read again."""

Deadline = Annotated[Duration, Field(gt=0, le=_LONGEST)]
"""A duration in which something can happen."""

Age = Annotated[Duration, Field(le=_LONGEST)]
"""A duration that is taken from today."""

Size = Annotated[
    int,
    BeforeValidator(size),
    PlainSerializer(lambda value: f"{value}B", when_used="json"),
    _text("size", _BYTES),
]
"""Bytes, written as `512MiB` or `20GB`; in JSON too."""

Percent = Annotated[
    float,
    BeforeValidator(percent),
    PlainSerializer(lambda value: _written(value) + "%", when_used="json"),
    _text("percentage", _PERCENT),
]
"""A share in percent, written as `25%`; in JSON too."""
