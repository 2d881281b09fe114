"""What changed between the package lists of two images."""

from collections.abc import Iterable


def package_changes(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """One line for each package that differs, by name: `+` added, `-` removed, `~` in another version.

    Both lists hold `name version` lines; a name may occur more than once (kernels, libraries of two architectures).
    """
    before, after = _by_name(old), _by_name(new)
    return [
        line
        for name in sorted(before.keys() | after.keys())
        if (line := _change(name, before.get(name, ()), after.get(name, ())))
    ]


def _change(name: str, old: Iterable[str], new: Iterable[str]) -> str:
    gone, come = ", ".join(old), ", ".join(new)
    if gone == come:
        return ""
    if not gone:
        return f"+ {name} {come}"
    return f"~ {name} {gone} -> {come}" if come else f"- {name} {gone}"


def _by_name(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in sorted(lines):
        name, _, version = line.partition(" ")
        found[name] = (*found.get(name, ()), version)
    return found
