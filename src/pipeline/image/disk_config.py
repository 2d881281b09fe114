"""The disk builder's own configuration (osbuild blueprint, `customizations`): what of it ships with every disk."""

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import UsageError
from pipeline.registry.content import sha256
from pipeline.report.model import Check, CheckStatus

NAME = "disk-config"


@dataclass(frozen=True)
class Shipped:
    """What a configuration puts into the disk, for the report."""

    inputs: dict[str, str] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)


def shipped_by(file: str, text: str) -> Shipped:
    """The file's sha256 among the inputs, and advice that names each way in: everybody's disk has it.

    There is no configuration for the test only. Raises UsageError for a file that is not what its name says.
    """
    ways = list(_ways_in(file, text))
    check = Check(
        name=NAME,
        status=CheckStatus.FAILED if ways else CheckStatus.PASSED,
        required=False,
        reason=f"{file} puts into every disk that ships: {'; '.join(ways)}" if ways else "",
    )
    return Shipped({"disk config sha256": sha256(text.encode()).hex}, [check])


def _ways_in(file: str, text: str) -> Iterator[str]:
    for user in _tables(_customizations(file, text), "user"):
        has = [what for key, what in (("password", "a password"), ("key", "an SSH key")) if user.get(key)]
        yield f"user {user.get('name', 'without a name')} with {' and '.join(has) or 'no way in'}"
    for entry in _tables(_customizations(file, text), "sshkey"):
        yield f"user {entry.get('user', 'without a name')} with an SSH key"


def _customizations(file: str, text: str) -> dict[str, Any]:
    try:
        read = json.loads(text) if file.endswith(".json") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"gates.testing.builder.config: {file} cannot be read: {error}. Correct it.") from error
    top = _table(read)
    return _table((_table(top.get("blueprint")) or top).get("customizations"))


def _table(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _tables(found: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = found.get(key)
    return [_table(entry) for entry in value] if isinstance(value, list) else []
