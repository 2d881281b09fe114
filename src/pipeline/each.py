"""The same for each of several images, some of them at once."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

A = TypeVar("A")
B = TypeVar("B")

AT_ONCE = 4
"""How many are under way: more gain nothing where a registry limits requests, and tools take memory."""


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
