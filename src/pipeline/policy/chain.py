"""What comes after what, when each thing names those that it follows: order without a clock."""

from collections.abc import Collection, Mapping
from typing import TypeVar

T = TypeVar("T", bound=str)


def before(follows: Mapping[T, Collection[T]], one: T) -> frozenset[T]:
    """Everything that comes before `one`, at once or by others."""
    found: set[T] = set()
    open_ends = list(follows.get(one, ()))
    while open_ends:
        if (here := open_ends.pop()) not in found:
            found.add(here)
            open_ends += follows.get(here, ())
    return frozenset(found)


def newest_first(follows: Mapping[T, Collection[T]]) -> list[T]:
    """All of them, what follows another ahead of it; side by side, by name."""
    return sorted(follows, key=lambda one: (len(before(follows, one)), one), reverse=True)


def newest(follows: Mapping[T, Collection[T]], among: Collection[T] | None = None) -> list[T]:
    """Those that no other comes after, `among` all or some of them: one, or several that came side by side."""
    those = follows if among is None else among
    older = frozenset[T]().union(*(before(follows, one) for one in those))
    return [one for one in newest_first(follows) if one in those and one not in older]
