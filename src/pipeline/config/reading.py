"""pipeline.toml read: one line for each wrong key, with what was found and what is allowed."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.config.document import FILE, Config
from pipeline.config.image import Image
from pipeline.config.trust import Trust
from pipeline.config.words import NO_LOGIN
from pipeline.errors import UsageError

_LOGIN = re.compile(r"\b(https?|ftp|git)://[^/\s@]*@|://[^/\s@]*:[^/\s@]*@(?!sha256:)")
_LONGEST = 400
"""Characters of a wrong value that are shown."""


def parse(text: str, file: str = FILE) -> Config:
    """Read pipeline.toml.

    Raises UsageError with one line for each wrong key: file, key, what was found, what is allowed.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not TOML: {error}") from error
    try:
        found = Config.model_validate(document)
    except ValidationError as error:
        details = error.errors()
        hollow = [one for one in details if one["type"] == "too_short" and _is_above(one["loc"], details)]
        shown = [_shared(document, detail) for detail in details if detail not in hollow]
        raise UsageError("\n".join(dict.fromkeys(_explain(file, detail) for detail in shown))) from error
    if logins := list(_logins(document)):
        lines = [f"{file}: {key}: found {_without_login(text)!r}; {NO_LOGIN}" for key, text in logins]
        raise UsageError("\n".join(lines))
    return found


def _logins(found: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text with a user or password in an address, by its key: all of them show in arguments, logs or reports."""
    if isinstance(found, str) and _LOGIN.search(found):
        yield key, found
    parts = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for name, part in parts:
        yield from _logins(part, f"{key}.{name}".lstrip("."))


def parse_trust(text: str, place: str) -> Trust | None:
    """`[trust]` of a pipeline.toml and nothing else of it; None without one. UsageError as for the whole file."""
    try:
        found = tomllib.loads(text).get("trust")
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not TOML: {error}") from error
    try:
        return None if found is None else Trust.model_validate(found)
    except ValidationError as error:
        details = [(".".join(("trust", *map(str, one["loc"]))), one["msg"]) for one in error.errors()]
        raise UsageError("\n".join(f"{place}: {key}: {message}" for key, message in details)) from error


def _without_login(text: Any) -> Any:
    """What may be shown of a value: never what stands before an `@`, or behind the `?` of an address."""
    if isinstance(text, str) and "://" in text and "?" in text:
        text = f"{text.partition('?')[0]}?…"
    return f"…@{text.rpartition('@')[2]}" if isinstance(text, str) and "@" in text else text


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _shared(document: dict[str, Any], detail: Any) -> Any:
    """A wrong value that an image has from [defaults], as an error of that table: it is said once for all images."""
    match detail["loc"]:
        case ("images", str(name), str(key), *rest):
            own, shared = document["images"].get(name), document.get("defaults", {})
            if isinstance(own, dict) and key in shared and key not in own:
                return detail | {"loc": ("defaults", key, *rest)}
    return detail


def _is_above(place: tuple[Any, ...], details: Sequence[Any]) -> bool:
    """Whether something in this list was refused: that it is empty without that needs no saying."""
    return any(len(one["loc"]) > len(place) and one["loc"][: len(place)] == place for one in details)


def _explain(file: str, detail: Any) -> str:
    path = [part for part in detail["loc"] if part != "name" or isinstance(part, int)]
    key = ".".join(str(part) for part in path) or "(top level)"
    match detail["type"]:
        case "extra_forbidden":
            allowed = _allowed(path[:-1])
            meant = _meant(str(path[-1]), allowed)
            return f"{file}: {key}: this key is not known;{meant} allowed here: {', '.join(allowed)}"
        case "missing":
            return f"{file}: {key}: this key is required and not there"
        case _:
            message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            found = detail["input"]
            message = message.removeprefix(f"{found!r} is not ")
            if isinstance(found, dict) and detail["type"] == "value_error":  # a table whose keys do not go together
                return f"{file}: {key}: {message}."
            shown = _without_login(found)
            if shown is not found:
                message = message.replace(str(found), shown)
            meant = _meant_word(shown, detail.get("ctx", {}).get("expected", ""))
            expected = message.removeprefix("expected ")
            return f"{file}: {key}: found {_shortened(repr(shown))}; expected {expected}{meant}"


def _meant_word(found: Any, allowed: Any) -> str:
    """The word that looks alike, of those that pydantic lists as `'a', 'b' or 'c'`."""
    close = get_close_matches(str(found), re.findall(r"'([^']*)'", str(allowed)), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _meant(key: str, allowed: list[str]) -> str:
    """A key that looks alike in this table, or the tables that have this very key."""
    if close := get_close_matches(key, allowed, n=1):
        return f" did you mean {close[0]}?"
    homes = [table for table, keys in _tables(Config).items() if key in keys]
    return f" did you mean the one of {' or '.join(homes)}?" if homes else ""


def _tables(model: type[BaseModel], place: str = "") -> dict[str, list[str]]:
    """The keys of every table of the file, by the name that stands between its brackets."""
    found = {f"[{place}]" if place else "the top level": [name for name in model.model_fields if name != "name"]}
    for name, field in model.model_fields.items():
        if inner := _table_of(field.annotation):
            shown = f"{name}.NAME" if name == "images" else name
            found |= _tables(inner, f"{place}.{shown}".lstrip("."))
    return found


def _allowed(path: list[Any]) -> list[str]:
    """The keys of the table at this place, found by walking the models."""
    model: Any = Config
    for part in ("images", *path[1:]) if path[:1] == ["defaults"] else path:
        if part in getattr(model, "model_fields", {}):
            model = _table_of(model.model_fields[part].annotation)
        # else: a name or an index inside a dict or tuple of tables, which have the same model
    return [name for name in getattr(model, "model_fields", {}) if not (model is Image and name == "name")]


def _table_of(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _table_of(argument):
            return found
    return None
