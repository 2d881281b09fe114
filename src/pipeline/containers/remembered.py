"""What plans of retention read of a repository, on a volume of the engine: one file, of the last run that read it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import dagger
from dagger import dag

from pipeline.containers.base import Reach, debian
from pipeline.containers.execution import attempt
from pipeline.domain import Repository
from pipeline.errors import PipelineError
from pipeline.registry.retention.kept import Kept

_PLACE, _FILE = "/remembered", "content.sqlite"


@asynccontextmanager
async def remembered(reach: Reach, repository: Repository) -> AsyncIterator[Kept]:
    """What the plan before has read, and this one for the next; whatever goes wrong with it only costs requests."""
    name = re.sub(r"[^a-z0-9]+", "-", str(repository).lower())
    volume = debian().with_mounted_cache(_PLACE, dag.cache_volume(f"bootc-pipeline-remembered-{name}"))
    with TemporaryDirectory(prefix="remembered-", dir=Path.cwd()) as folder:
        path = Path(folder, _FILE)
        with suppress(PipelineError, dagger.DaggerError):
            await _taken(volume.with_env_variable("PIPELINE_RUN", reach.run), path)
        with Kept(path) as kept:
            yield kept
        with suppress(PipelineError, dagger.DaggerError):
            file = dag.current_module().workdir_file(f"{Path(folder).name}/{_FILE}")
            await _put_back(volume.with_mounted_file("/new", file))


async def _taken(volume: dagger.Container, path: Path) -> None:
    copied = await attempt(volume, ["cp", f"{_PLACE}/{_FILE}", "/taken"])
    if copied.code == 0:
        await copied.container.file("/taken").export(str(path))


async def _put_back(volume: dagger.Container) -> None:
    new = f"{_PLACE}/new-{uuid4().hex}"
    await attempt(volume, ["sh", "-c", f"cp /new {new} && mv {new} {_PLACE}/{_FILE}"])
