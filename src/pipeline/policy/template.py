"""Texts of the configuration with `{placeholders}` in them."""

import re
from collections.abc import Collection, Mapping

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def filled(text: str, values: Mapping[str, str]) -> str:
    """Replace `{version}` and its like; any other brace stays as it is."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def unknown(text: str, known: Collection[str]) -> list[str]:
    """The placeholders of a template that have no value."""
    return [name for name in _PLACEHOLDER.findall(text) if name not in known]
