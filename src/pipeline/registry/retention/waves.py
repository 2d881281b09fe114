"""The same work for many things, a few at a time."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from pipeline.errors import PipelineError

T = TypeVar("T")

_WORKERS = 8


async def each(things: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Await `work` for all `things`, some of them at the same time; the first PipelineError ends everything."""
    waiting = iter(things)

    async def worker() -> None:
        for thing in waiting:
            await work(thing)

    try:
        async with anyio.create_task_group() as group:
            for _ in range(_WORKERS):
                group.start_soon(worker)
    except BaseExceptionGroup as errors:
        if found := _first(errors):
            raise found from errors
        raise


def _first(errors: BaseExceptionGroup[BaseException]) -> PipelineError | None:
    for error in errors.exceptions:
        if isinstance(error, PipelineError):
            return error
        if isinstance(error, BaseExceptionGroup) and (found := _first(error)):
            return found
    return None
