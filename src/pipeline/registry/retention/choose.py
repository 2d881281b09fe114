"""Which driver a repository needs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

import httpx

from pipeline.domain import Repository
from pipeline.errors import UsageError
from pipeline.registry.client import RegistryClient
from pipeline.registry.retention import ghcr
from pipeline.registry.retention.driver import Driver
from pipeline.registry.retention.ghcr import GhcrDriver
from pipeline.registry.retention.oci import OciDriver
from pipeline.registry.retention.quay import QuayDriver
from pipeline.registry.retention.rest import Rest


class DriverKind(StrEnum):
    """How to delete."""

    AUTO = "auto"
    """By the registry's host: ghcr.io and quay.io (with a token) have their own ways, all others the standard one."""
    OCI = "oci"
    GHCR = "ghcr"
    QUAY = "quay"


@asynccontextmanager
async def open_driver(
    client: RegistryClient,
    repository: Repository,
    *,
    kind: DriverKind = DriverKind.AUTO,
    token: str | None = None,
    api: str | None = None,
) -> AsyncIterator[Driver]:
    """The driver for `repository`.

    `token`: for the operator's web API; GitHub's needs the scopes read:packages and delete:packages. `api`: where that
    is, when it is not the usual place. UsageError for GitHub without a token.
    """
    repo = client.repository(repository)
    kind = _by_host(repository, token) if kind is DriverKind.AUTO else kind
    if kind is DriverKind.OCI:
        yield OciDriver(repo)
        return
    async with httpx.AsyncClient(timeout=30, headers={"User-Agent": "bootc-pipeline"}) as http:
        if kind is DriverKind.QUAY:
            yield QuayDriver(Rest(http, repo, api or f"https://{repository.host}", token), repository)
            return
        if not token:
            raise UsageError(
                f"{repository} is on GitHub, which deletes only through its package API: expected a token with the "
                "scopes read:packages and delete:packages. Give one."
            )
        yield GhcrDriver(Rest(http, repo, api or ghcr.API, token), repository)


def _by_host(repository: Repository, token: str | None) -> DriverKind:
    if repository.host == "ghcr.io":
        return DriverKind.GHCR
    if repository.host == "quay.io" and token:
        return DriverKind.QUAY
    return DriverKind.OCI
