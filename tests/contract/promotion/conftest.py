"""Promotions on a real registry, with the real skopeo; git, builds and gates are those of tests/unit/promotion."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import InfrastructureError

sys.path += [str(Path(__file__).parents[2] / "unit" / "promotion"), str(Path(__file__).parent)]

Copy = Callable[[Repository, Digest, Repository, Tag | None], Awaitable[None]]


@pytest.fixture(scope="session")
def copy(skopeo: str) -> Copy:
    """`copy_by_digest` without a container, over plain HTTP, and with little patience."""

    async def copied(source: Repository, digest: Digest, target: Repository, tag: Tag | None) -> None:
        ran = await anyio.run_process(
            [
                *(skopeo, "--command-timeout", "3s", "copy", "--all", "--preserve-digests"),
                *("--src-tls-verify=false", "--dest-tls-verify=false"),
                *(f"docker://{source.at(digest)}", f"docker://{target.tagged(tag) if tag else target.at(digest)}"),
            ],
            check=False,
        )
        if ran.returncode:
            raise InfrastructureError(ran.stderr.decode())

    return copied


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody else writes here, and nothing is worth waiting for."""
    monkeypatch.setattr("pipeline.registry.client._SETTLE", 0.01)
    monkeypatch.setattr("pipeline.stages.promotion._PAUSES", (0.05, 0.05))
    monkeypatch.chdir(tmp_path)
