"""Which root file system an image declares for its installation; a disk builder asks for one where none is.

Source: bootc-install-config(5): files of /usr/lib/bootc/install, of which the last by name wins.
"""

import tomllib
from typing import Any

from pipeline.image.tree import Tree

INPUT = "root file system"
"""Of the image gate's report."""
UNDECLARED = "none declared"

_FOLDER = "usr/lib/bootc/install"


def declared(tree: Tree) -> str:
    """Its type (`xfs`), or UNDECLARED; a file that is no TOML declares nothing."""
    for entry in reversed(tree.entries(_FOLDER)):
        if entry.name.suffix == ".toml" and (found := _root(entry.read())):
            return found
    return UNDECLARED


def _root(text: str) -> str | None:
    try:
        document: Any = tomllib.loads(text)
    except (ValueError, RecursionError):
        return None
    places = (("install", "filesystem", "root", "type"), ("install", "root-fs-type"))
    for place in places:
        found = document
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, str) and found:
            return found
    return None
