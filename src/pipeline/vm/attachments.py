"""Where a guest looks for signatures: what it says of a repository is said of the relay, too.

A policy finds signatures in a mirror only where registries.d names the mirror; without this it would find none in the
relay. What the guest does not look for in its repository it is not told to find.
Source: containers-registries.d(5), and what skopeo does (tests/contract/vm/test_relay.py).
"""

from collections.abc import Iterator
from typing import Any

import yaml

from pipeline.vm.relay import ADDRESS, PORT

FILES = 'for file in /etc/containers/registries.d/*.yaml; do echo ---; cat "$file"; done'
"""Prints all of them, for a shell."""
DROP_IN = "/etc/containers/registries.d/zz-vm-gate.yaml"
_SETTING = "use-sigstore-attachments"


def drop_in(configured: str, reference: str) -> str:
    """The file that lets the guest find signatures in the relay, if it looks for those of `reference`; else empty.

    `configured`: what FILES printed. A place that has no word of its own has that of the next wider one.
    """
    try:
        files = [one for one in yaml.safe_load_all(configured) if isinstance(one, dict)]
    except yaml.YAMLError:
        return ""  # its tools read none of them, and say so
    for place in _places(reference):
        said = next((found for one in files if (found := _said(one.get("docker"), place)) is not None), None)
        if said is not None:
            return f"docker:\n  {ADDRESS}:{PORT}:\n    {_SETTING}: true\n" if said else ""
    return ""  # of the mirror as well: the default is for every place


def _places(reference: str) -> Iterator[str]:
    """`host/a/b:tag`, `host/a/b`, `host/a`, `host`."""
    yield reference
    place = reference.rpartition(":")[0]
    while place:
        yield place
        place = place.rpartition("/")[0]


def _said(places: Any, place: str) -> bool | None:
    settings = places.get(place) if isinstance(places, dict) else None
    said = settings.get(_SETTING) if isinstance(settings, dict) else None
    return said if isinstance(said, bool) else None
