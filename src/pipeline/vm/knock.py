"""Waits until the guest's SSH server lets us in, and remembers why it had to wait.

QEMU accepts on the forwarded port long before the guest does, so only the server's banner counts. And a connection that
QEMU began before the guest had a network hangs until its retry timer fires, so it is given up and begun anew unless the
guest is known to have taken it: this is how SSH is noticed within a quarter of a second.
"""

import errno
import os
import socket
from collections.abc import Awaitable, Callable

import anyio
import asyncssh

from pipeline.vm.guest import Guest, GuestLost, Key

INTERVAL = 0.05
"""Seconds between two looks at a port that nobody answers."""
PATIENCE = 0.15
"""Seconds for a banner before asking whether the guest took the connection."""


class Knock:
    """One attempt after the other on a forwarded port of this machine.

    `established` tells whether the guest (not only QEMU) has accepted the connection that is being tried.
    """

    def __init__(self, key: Key, established: Callable[[], Awaitable[bool]]) -> None:
        self._key, self._established = key, established
        self._closed = 0
        self.problem = "port 22 gave no answer at all: the guest has no network, or a firewall drops the packets"

    async def until_open(self, port: int) -> Guest:
        """Return the guest when root's key is accepted; the caller limits how long this may take."""
        while True:
            sock = await self._connect(port)
            try:
                if sock and await self._banner(sock):
                    return await self._log_in(sock)
            except (asyncssh.Error, OSError, GuestLost) as error:
                self.problem = f"SSH answers and refuses us: {_said(error)}"
            if sock:
                sock.close()
            await anyio.sleep(INTERVAL)

    async def _connect(self, port: int) -> socket.socket | None:
        sock = socket.socket()
        sock.setblocking(False)
        try:
            if sock.connect_ex(("127.0.0.1", port)) == errno.EINPROGRESS:
                await anyio.wait_writable(sock)
            if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, os.strerror(code))
        except OSError as error:
            sock.close()
            self.problem = f"QEMU's forwarded port refuses: {error}"
            return None
        except BaseException:
            sock.close()
            raise
        return sock

    async def _banner(self, sock: socket.socket) -> bool:
        """Whether the server greets; what it says stays in the socket for whoever speaks SSH."""
        while True:
            with anyio.move_on_after(PATIENCE):
                await anyio.wait_readable(sock)
                if sock.recv(4, socket.MSG_PEEK):
                    return True
                self._closed += 1
                self.problem = (
                    f"port 22 closed all of {self._closed} connections without an SSH banner: no SSH server listens, "
                    "or it drops whoever connects"
                )
                return False
            if not await self._established():
                return False
            self.problem = "port 22 accepts and sends no SSH banner"

    async def _log_in(self, sock: socket.socket) -> Guest:
        connection = await asyncssh.connect(
            sock=sock,
            username="root",
            client_keys=[self._key.private],
            known_hosts=None,  # the host key was made minutes ago, in the guest that we started
            config=None,
            agent_path=None,
            preferred_auth="publickey",
            login_timeout=120,
            keepalive_interval=15,
            keepalive_count_max=8,
        )
        guest = Guest(connection)
        await guest.run("true", within=120)
        return guest


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
