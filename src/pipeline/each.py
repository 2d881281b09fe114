"""Several things at once: the same for each of several images, and one thing while another goes on."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from typing import TypeVar

import anyio

A = TypeVar("A")
B = TypeVar("B")

AT_ONCE = 4
"""How many are under way: more gain nothing where a registry limits requests, and tools take memory."""

_bound: ContextVar[anyio.CapacityLimiter | None] = ContextVar("bound", default=None)
"""What bounds the items of which this one is under way."""


async def each(items: Iterable[A], act: Callable[[A], Awaitable[B]], *, at_once: int = AT_ONCE) -> list[B]:
    """What `act` answers for each item, in their order; `at_once` of them are under way.

    After an error none is begun any more, those under way come to their end, and the error of the first is raised.
    """
    todo = list(items)
    answers: dict[int, B] = {}
    errors: dict[int, Exception] = {}
    limiter = anyio.CapacityLimiter(at_once)

    async def one(number: int) -> None:
        async with limiter:
            if errors:
                return
            _bound.set(limiter)
            try:
                answers[number] = await act(todo[number])
            except Exception as error:
                errors[number] = error

    async with anyio.create_task_group() as group:
        for number in range(len(todo)):
            group.start_soon(one, number)
    if errors:
        raise errors[min(errors)]
    return [answers[number] for number in range(len(todo))]


@contextmanager
def only_waiting() -> Iterator[None]:
    """Inside, an item of `each` does nothing but wait, and another one may be under way.

    Afterwards it goes on at once, beside that one: a turn may last hours, and what waited has a deadline.
    """
    limiter = _bound.get()
    if limiter is None:
        yield
        return
    limiter.total_tokens += 1
    try:
        yield
    finally:
        limiter.total_tokens -= 1


@asynccontextmanager
async def meanwhile(act: Callable[[], Awaitable[B]]) -> AsyncIterator[Callable[[], Awaitable[B | None]]]:
    """`act` is under way inside; what is yielded waits for its answer, which is None when it met an error.

    Whoever asks can do without, or do it then, and meets the error again. What nobody has asked for by the end is given
    up.
    """
    answers, done, errors = list[B](), anyio.Event(), list[Exception]()

    async def one() -> None:
        with suppress(Exception):
            answers.append(await act())
        done.set()

    async def answer() -> B | None:
        await done.wait()
        return answers[0] if answers else None

    async with anyio.create_task_group() as group:
        group.start_soon(one)
        try:
            yield answer
        except Exception as error:  # a group would wrap it
            errors.append(error)
        group.cancel_scope.cancel()
    if errors:
        raise errors[0]


async def in_turn(
    items: AsyncIterable[A],
    act: Callable[[A], Awaitable[B]],
    then: Callable[[B], Awaitable[object]],
    *,
    at_once: int = AT_ONCE,
) -> None:
    """`act` on several items at a time, and `then` on each answer, one after the other in the order of the items.

    No more than `at_once` items and answers are held. The first error ends it, and is raised.
    """
    room = anyio.Semaphore(at_once)
    errors: list[Exception] = []

    async def one(item: A, before: anyio.Event, done: anyio.Event) -> None:
        try:
            answer = await act(item)
            await before.wait()
            await then(answer)
        except Exception as error:
            errors.append(error)
            group.cancel_scope.cancel()
        done.set()
        room.release()

    async with anyio.create_task_group() as group:
        before = anyio.Event()
        before.set()
        try:
            await room.acquire()
            async for item in items:
                done = anyio.Event()
                group.start_soon(one, item, before, done)
                before = done
                del item  # the next one is read before this name would let it go
                await room.acquire()
        except Exception as error:
            errors.append(error)
            group.cancel_scope.cancel()
    if errors:
        raise errors[0]
