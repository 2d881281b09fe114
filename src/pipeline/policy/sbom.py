"""What a bill of material says is in an image. Source: SPDX 2.3 in JSON, as syft, trivy and others write it."""

import json
from collections.abc import Iterator
from typing import Any

LARGEST = 16 * 1024**2
"""Bytes of a document: it is signed as a whole, and a list of every file is no list of packages."""
_OF_THE_SYSTEM = frozenset({"alpm", "apk", "deb", "rpm"})
"""Kinds of packages that go by their name alone (package-url/purl-spec, PURL-TYPES)."""


def sbom_file(machine: str) -> str:
    """What the document of an image is called in the report of its gate; `machine` as in `x86_64`."""
    return f"sbom-{machine}.spdx.json"


def packages_listed(document: bytes) -> list[str]:
    """Its packages as `name version`, each once and sorted; before what is no package of the system stands its kind.

    ValueError, saying what is there instead, for what is no SPDX document.
    """
    if len(document) > LARGEST:
        raise ValueError(f"{len(document)} bytes; expected at most {LARGEST}: leave the list of files out")
    try:
        bill: dict[str, Any] = json.loads(document)
        if not (version := str(bill["spdxVersion"])).startswith("SPDX-2"):
            raise ValueError(f"a document of {version}; expected SPDX-2.3")
        described = set(_described(bill))
        return sorted({_line(one) for one in bill["packages"] if one["SPDXID"] not in described})
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no SPDX 2.3 document in JSON ({type(error).__name__}: {error})") from error


def _described(bill: dict[str, Any]) -> Iterator[str]:
    """What the document is about, which is the image itself."""
    yield from bill.get("documentDescribes", ())
    for one in bill.get("relationships", ()):
        if (one["spdxElementId"], one["relationshipType"]) == (bill["SPDXID"], "DESCRIBES"):
            yield one["relatedSpdxElement"]


def _line(package: dict[str, Any]) -> str:
    references = [one["referenceLocator"] for one in package.get("externalRefs", ()) if one["referenceType"] == "purl"]
    kind = references[0].removeprefix("pkg:").partition("/")[0] if references else ""
    name = package["name"] if not kind or kind in _OF_THE_SYSTEM else f"{kind}:{package['name']}"
    return f"{name.replace(' ', '-')} {package.get('versionInfo', '')}".rstrip()
