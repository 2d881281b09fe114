"""Stands in for QEMU's user network and a guest with an OpenSSH of today, ten times as fast.

As measured (ssh-knock recordings): what the host's side gave up is delivered all the same, at the next of the tries
after 6, 12, 12 … s, until 75 s have passed; a guest with a network refuses where nobody listens; a server counts who
leaves without having logged in, and refuses a source that did it often.
"""

import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import asyncssh
from anyio.abc import SocketStream

from pipeline.vm.guest import Key

SECOND = 0.1
FIRST_TRY, NEXT_TRIES, KEPT = 6 * SECOND, 12 * SECOND, 75 * SECOND
PENALTY = 15 * SECOND
PATIENT = 5
"""How many may leave without a login before the server refuses the source."""


@dataclass
class Guest:
    """What is up inside, and what its SSH server has counted."""

    key: Key
    network: bool = False
    sshd: bool = False
    firewall: bool = False
    """Whether it swallows what goes to other ports."""
    dead: int = 0
    refused_until: float = 0.0
    refusals: int = 0
    admitted: float = 0.0
    open: int = 0
    """Connections that it took and that have two ends."""

    async def established(self) -> bool:
        return self.open > 0

    def left_without_login(self) -> None:
        self.dead += 1
        if self.dead > PATIENT:
            self.refused_until = time.monotonic() + PENALTY


@dataclass
class Network:
    """Forwarded ports of this machine, as QEMU makes them."""

    guest: Guest
    ssh: int = 0
    idle: int = 0
    _server: int = field(default=0, repr=False)

    async def forward_ssh(self, client: SocketStream) -> None:
        """One connection to port 22, tried until the guest answers."""
        async with client:
            if await self._tried() and self.guest.sshd:
                await self._deliver(client)

    async def forward_idle(self, client: SocketStream) -> None:
        """One connection to a port where nobody listens."""
        async with client:
            if await self._tried() and self.guest.firewall:
                await anyio.sleep(KEPT)

    async def _tried(self) -> bool:
        """Whether the guest is there at one of the tries; nobody looks at the host's side meanwhile."""
        began, pause = time.monotonic(), FIRST_TRY
        while not self.guest.network and time.monotonic() - began < KEPT:
            await anyio.sleep(pause)
            pause = NEXT_TRIES
        return self.guest.network

    async def _deliver(self, client: SocketStream) -> None:
        if time.monotonic() < self.guest.refused_until:
            self.guest.refusals += 1
            return
        async with await anyio.connect_tcp("127.0.0.1", self._server) as inside, anyio.create_task_group() as group:
            self.guest.open += 1

            async def copy(source: SocketStream, target: SocketStream) -> None:
                with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    async for chunk in source:
                        await target.send(chunk)
                group.cancel_scope.cancel()

            group.start_soon(copy, client, inside)
            group.start_soon(copy, inside, client)
        self.guest.open -= 1


@asynccontextmanager
async def running(guest: Guest) -> AsyncIterator[Network]:
    """The ports, and the server behind them."""

    class Counting(asyncssh.SSHServer):
        logged_in = False

        def auth_completed(self) -> None:
            self.logged_in = True
            guest.admitted = guest.admitted or time.monotonic()

        def connection_lost(self, exc: Exception | None) -> None:
            if not self.logged_in:
                guest.left_without_login()

    def answer(process: asyncssh.SSHServerProcess[str]) -> None:
        process.stdout.write(f"{process.command}\n")
        process.exit(0)

    network = Network(guest)
    server: Any = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Counting,
        server_host_keys=[Key.generate().private],
        authorized_client_keys=asyncssh.import_authorized_keys(guest.key.public),
        process_factory=answer,
    )
    network._server = server.get_port()
    async with anyio.create_task_group() as group:
        for name in ("ssh", "idle"):
            listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
            setattr(network, name, listener.extra(anyio.abc.SocketAttribute.local_port))
            group.start_soon(listener.serve, getattr(network, f"forward_{name}"))
        yield network
        group.cancel_scope.cancel()
    server.close()
