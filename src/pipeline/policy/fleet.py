"""Many images in one configuration: what they share, which comes before which, how many go at once."""

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

NAME = "{name}"
"""In `[defaults]`, the NAME of each image."""


def with_defaults(table: Mapping[str, Any], defaults: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An image's table over what all share: its own keys win, tables are joined key by key, `{name}` is filled in."""
    merged = {key: _named(value, name) for key, value in defaults.items()}
    for key, value in table.items():
        shared = merged.get(key)
        if isinstance(shared, dict) and isinstance(value, dict):
            merged[key] = {**shared, **value}
        else:
            merged[key] = value
    return merged


def _named(value: Any, name: str) -> Any:
    match value:
        case str():
            return value.replace(NAME, name)
        case list():
            return [_named(one, name) for one in value]
        case dict():
            return {key: _named(one, name) for key, one in value.items()}
    return value


def waves(needs: Mapping[str, Collection[str]]) -> list[list[str]]:
    """The images in groups: each needs only what is in groups before its own; in the order given within a group.

    ValueError, naming the circle, when there is none that could be first.
    """
    sorter = TopologicalSorter(needs)
    try:
        sorter.prepare()
    except CycleError as error:
        raise ValueError(f"{' needs '.join(reversed(error.args[1]))}: none of them could be built first") from None
    places = {name: place for place, name in enumerate(needs)}
    found = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=lambda name: places.get(name, len(places)))
        found.append(ready)
        sorter.done(*ready)
    return found


def argument(needed: str) -> str:
    """The build argument that holds the reference of a needed image: `BASE_OS_IMAGE` for `base-os`."""
    return f"{needed.replace('-', '_').replace('.', '_').upper()}_IMAGE"


def fitting(jobs: int, demands: Sequence[tuple[float, float]]) -> int:
    """How many of the `jobs` that are allowed a machine has room for; one at least.

    Args:
        jobs: the most that somebody allows.
        demands: pairs of what there is and what each of them takes, of memory (bytes) and of processors.
    """
    room = [int(there // each) for there, each in demands if each > 0]
    return max(1, min([jobs, *room]))
