"""What pipeline.toml may hold, for editors (JSON Schema) and for people (a page), both from the models.

And the page of the first hour's mistakes, from the messages; the picture of the parts, from the imports.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from papers import first_hour, tower
from pipeline.config import Config

ROOT = Path(__file__).resolve().parents[2]
SCHEMA, PAGE = ROOT / "pipeline.schema.json", ROOT / "docs" / "configuration.md"
FIRST_HOUR = ROOT / "docs" / "first-hour.md"
AGAIN = "ci/reference"

Node = dict[str, Any]

_UNITS = {
    "duration": {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1},
    "size": {"GiB": 1024**3, "MiB": 1024**2, "B": 1},
}
_LIST = {"waivers"}
"""Tables that may stand several times: `[[waivers]]`."""

_HEAD = f"""\
# pipeline.toml: every key

<!-- Written by {AGAIN} from src/pipeline/config; change it there. -->

Two lines are enough for a first run:

```toml
[images.yellowfin]
repository = "ghcr.io/owner/yellowfin"
```

A wrong key or value is refused with the file, the key, what was found and what is allowed. An editor that knows JSON
Schema for TOML (Even Better TOML, taplo) completes and checks the file by its first line:

```toml
#:schema ADDRESS/pipeline.schema.json
```

ADDRESS is where this module's repository shows its files, at the version that you use. Durations are written `90s`,
`30m`, `4h` or `30d`, sizes `512MiB` or `20GB`, shares `25%`. Paths are relative to the top of the repository.
"""


def schema() -> Node:
    """JSON Schema (2020-12) of the file as it is written: no null, which TOML has not, and defaults as text."""
    found = Config.model_json_schema()
    found["$defs"]["Image"]["properties"].pop("name", None)
    del found["$defs"]["Image"]["required"]  # [defaults] may have what an image must have
    for table in (found, *found["$defs"].values()):
        table["properties"] = {key: _as_written(value) for key, value in table.get("properties", {}).items()}
        if not table["properties"]:
            del table["properties"]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": f"Written by {AGAIN}."}
    return head | found | {"title": "pipeline.toml"}


def page() -> str:
    """The reference in Markdown: a section for each table of the file, in its order."""
    whole = schema()
    return _HEAD + "".join(_section(whole, place, table) for place, table in _tables(whole, whole, ""))


def _as_written(field: Node) -> Node:
    written = dict(field)
    choices = [choice for choice in written.pop("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        written |= choices[0]
    elif choices:
        written["anyOf"] = choices
    default = written.pop("default", None)
    if default not in (None, "", [], {}) and not _is_table(written):
        written["default"] = _with_unit(written.get("title"), default)
    if written.get("title", "x")[0].isupper():
        del written["title"]
    return written


def _is_table(field: Node) -> bool:
    return "$ref" in field or any("$ref" in choice for choice in field.get("anyOf", []))


def _with_unit(kind: str | None, value: Any) -> Any:
    units = _UNITS.get(kind or "")
    if units is None or isinstance(value, str):
        return value
    return next(
        f"{int(value / size)}{unit}" for unit, size in units.items() if value % size == 0 and (value or size == 1)
    )


def _tables(whole: Node, table: Node, place: str) -> Iterator[tuple[str, Node]]:
    yield place, table
    for key, field in table.get("properties", {}).items():
        inner = field.get("additionalProperties", field.get("items", field))
        name = _reference(inner) if isinstance(inner, dict) else ""
        if name and "properties" in whole["$defs"][name]:
            below = f"{place}.{key}".lstrip(".") + (".NAME" if "additionalProperties" in field else "")
            yield from _tables(whole, whole["$defs"][name], below)


def _reference(field: Node) -> str:
    """The definition that a field is a table of, if it is one."""
    for choice in (field, *field.get("anyOf", []), *field.get("allOf", [])):
        if "$ref" in choice:
            return str(choice["$ref"]).rpartition("/")[2]
    return ""


def _section(whole: Node, place: str, table: Node) -> str:
    required = table.get("required", [])
    rows = [
        f"| `{key}` | {_value(whole, field)} | {_default(field, key in required)} | {_meaning(field)} |"
        for key, field in table["properties"].items()
        if not _is_only_a_table(whole, field)
    ]
    if not rows:
        return ""
    heading = f"[[{place}]]" if place in _LIST else f"[{place}]"
    said = _one_line(table.get("description", "")).partition(": ")[2] if place else "Above the first table."
    said = said[:1].upper() + said[1:]
    title = f"`{heading}`" if place else "Top level"
    return (
        f"\n## {title}\n\n{said}\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


def _is_only_a_table(whole: Node, field: Node) -> bool:
    inner = field.get("additionalProperties", field.get("items", field))
    name = _reference(inner) if isinstance(inner, dict) else ""
    return bool(name) and "properties" in whole["$defs"][name] and "anyOf" not in field


def _value(whole: Node, field: Node) -> str:
    if "anyOf" in field or "oneOf" in field:
        return " or ".join(dict.fromkeys(_value(whole, one) for one in field.get("anyOf", field.get("oneOf"))))
    if "$ref" in field:
        table = whole["$defs"][_reference(field)]
        return "a table" if "properties" in table else _value(whole, table)
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    match field.get("type"):
        case "array":
            return f"list of {_value(whole, field['items'])}"
        case "object":
            patterned = next(iter(field.get("patternProperties", {}).values()), None)
            return f"table of {_value(whole, patterned or field['additionalProperties'])}"
        case "boolean":
            return "`true`, `false`"
        case "integer" | "number":
            return _range(field)
        case _:
            return str(field.get("title") or field.get("format") or "text")


def _range(field: Node) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if high is not None:
        return f"{low} to {high}"
    return "number" if low is None else f"number from {low}"


def _default(field: Node, required: bool) -> str:
    if required:
        return "**required**"
    default = field.get("default")
    return "" if default is None else f"`{json.dumps(default)}`"


def _meaning(field: Node) -> str:
    return _one_line(field.get("description", "")).replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def wanted() -> dict[Path, str]:
    """The files with what has to stand in them."""
    return {
        SCHEMA: json.dumps(schema(), indent=2) + "\n",
        PAGE: page(),
        FIRST_HOUR: first_hour.page(),
        tower.PICTURE: tower.picture(),
    }


def outdated() -> list[str]:
    """The names of those that hold something else."""
    return [file.name for file, text in wanted().items() if not file.exists() or file.read_text() != text]


def main() -> None:
    parser = argparse.ArgumentParser(prog=AGAIN, description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a file is not current")
    if not parser.parse_args().check:
        for file, text in wanted().items():
            file.write_text(text)
    elif old := outdated():
        sys.exit(f"{', '.join(old)} differs from what src/pipeline says; write it again with {AGAIN}")


if __name__ == "__main__":
    main()
