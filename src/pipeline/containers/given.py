"""What pipeline.toml names in the source, looked at before anything is built."""

from collections.abc import Mapping

import dagger

from pipeline.containers.base import debian, with_pipeline
from pipeline.containers.execution import attempt
from pipeline.errors import InfrastructureError, UsageError


async def require(source: dagger.Directory, named: Mapping[str, str | None]) -> None:
    """Every path is there, by the key that names it; UsageError with one line for each that is not."""
    missing = [
        f"{key} names {path}, which is not in the source: add it (and commit it), or correct the key."
        for key, path in named.items()
        if path and not await source.exists(path)
    ]
    if missing:
        raise UsageError("\n".join(missing))


async def require_suite(source: dagger.Directory, key: str, path: str | None, *, vm: bool = False) -> None:
    """The folder of tests is there, and each file in it that looks like one would run; UsageError names the others."""
    if not path:
        return
    await require(source, {key: path})
    looked = await attempt(
        with_pipeline(debian("ca-certificates")).with_mounted_directory("/suite", source.directory(path)),
        ["python", "-m", "pipeline.image.suite", "/suite", *(["--vm"] if vm else [])],
    )
    if looked.code == UsageError.outcome.exit_code:
        raise UsageError(f"{key} = {path!r}: {'; '.join(looked.stderr.strip().splitlines())}")
    if looked.code:
        raise InfrastructureError(f"The tests in {path} could not be looked at: {looked.end()}")
