"""What changed between two images: by their bills of material where both have one, else by their package databases."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from shutil import rmtree

from pipeline.domain import Channel, Digest
from pipeline.errors import PreconditionError
from pipeline.gates.evidence import extracted
from pipeline.image.packages import FILE as PACKAGES
from pipeline.policy.packages import package_changes
from pipeline.policy.sbom import LARGEST, packages_listed, sbom_file
from pipeline.registry.client import RepositoryClient
from pipeline.registry.evidence import fetch_report, find_evidence


class Source(StrEnum):
    """What says which packages an image holds, the better one first."""

    SBOM = "SBOM"
    DATABASE = "package database"


@dataclass(frozen=True)
class Changes:
    """From one image to another."""

    source: Source
    lines: list[str]
    """One for each package that differs, see `package_changes`."""


async def packages_between(*images: tuple[RepositoryClient, Digest | None]) -> Changes | None:
    """What changed from the first to the second image; None when they have no list of one kind in their evidence."""
    found = [await _listed(registry, digest) for registry, digest in images if digest]
    if len(found) < 2:
        return None
    before, after = found
    common = [source for source in Source if source in before and source in after]
    return Changes(common[0], package_changes(before[common[0]], after[common[0]])) if common else None


async def _listed(registry: RepositoryClient, digest: Digest) -> Mapping[Source, list[str]]:
    """What the image gate found in the image, from its report."""
    for stored in await find_evidence(registry, digest, Channel.NEXT):
        if lists := listed(await fetch_report(registry, stored)):
            return lists
    return {}


def listed(report: bytes) -> dict[Source, list[str]]:
    """The lists of packages in a report; none when the archive is damaged, or too large: they only inform.

    Of several platforms, what any of them holds.
    """
    try:
        folder = extracted(report)
    except PreconditionError:
        return {}
    try:
        database = _contents(folder, PACKAGES)
        bills = [packages_listed(one) for one in _contents(folder, sbom_file("*"))]
    except ValueError:
        return {}
    finally:
        rmtree(folder, ignore_errors=True)
    found = {Source.SBOM: sorted({line for bill in bills for line in bill})} if bills else {}
    return found | ({Source.DATABASE: database[0].decode(errors="replace").splitlines()} if database else {})


def _contents(folder: Path, pattern: str) -> list[bytes]:
    files = [file for file in folder.glob(pattern) if file.is_file()]
    return [file.read_bytes() for file in files if file.stat().st_size <= LARGEST]
