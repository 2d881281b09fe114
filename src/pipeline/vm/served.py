"""The guest's root shell as a socket of this machine, for programs of ours that cannot reach it by SSH."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from pipeline.vm.guest import Guest, GuestLost

LONGEST_COMMAND = 1 << 20


@asynccontextmanager
async def served(guest: Guest, socket: Path, within: float) -> AsyncIterator[None]:
    """Answer on `socket` while the block lasts: one line with `{"command": …}`, one with what came of it.

    A command may take `within` seconds.
    """

    async def answer(client: SocketStream) -> None:
        async with client:
            line = await BufferedByteReceiveStream(client).receive_until(b"\n", LONGEST_COMMAND)
            try:
                done = await guest.run("/bin/sh", "-c", json.loads(line)["command"], within=within)
                said = {"status": done.status, "out": done.out, "err": done.err}
            except GuestLost as error:
                said = {"lost": str(error)}
            await client.send(json.dumps(said).encode() + b"\n")

    async def handle(client: SocketStream) -> None:
        try:
            await answer(client)
        except (anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError):
            return  # whoever hangs up wants no answer

    async with await anyio.create_unix_listener(socket) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        yield
        group.cancel_scope.cancel()
