"""Asking again for a signature that could not be had."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from pipeline.errors import InfrastructureError

T = TypeVar("T")

_PAUSES = (2.0, 10.0, 30.0)
"""Seconds before the next try."""


async def persistently(ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` answers at last; its InfrastructureError when the last try ends like the others."""
    for pause in _PAUSES:
        try:
            return await ask()
        except InfrastructureError:
            await anyio.sleep(pause)
    return await ask()
