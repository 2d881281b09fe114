"""Waits until the guest's SSH server lets us in, and leaves no trace in the guest while it waits.

QEMU accepts on a forwarded port long before the guest does, and what it accepted it delivers: a connection that is
given up here is tried again in the guest for 75 s (libslirp, tcp_timer.h: TCPTV_KEEP_INIT), and what reaches an SSH
server without logging in counts there. From OpenSSH 9.8 on it counts much: PerSourcePenalties refuse the source for
15 s and more, and MaxStartups (sshd_config(5)) drops whom it likes. To the guest everybody here is 10.0.2.2.

So SSH's port has one connection at a time, at most one a second, and none before there is a sign of life; and what was
begun is waited for until it has ended, so that whatever the guest takes logs in. The sign is looked for at a port where
nobody listens: a guest with a network refuses there at once, in its kernel, and no server hears of it. A firewall may
swallow that; then the console says when to look, or the time does.
"""

import errno
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import asyncssh

from pipeline.vm.guest import Guest, GuestLost, Key, Ssh
from pipeline.vm.ways import Refusal

PACE = 1.0
"""Seconds from the beginning of one connection to that of the next."""
REFUSED = 5.0
"""Seconds to wait after a login that was refused: each one adds as much to the penalty (sshd_config(5), authfail)."""
SWALLOWED = 2.0
"""Seconds for a whole look at that port once the console has told of a network; after that, it is a firewall."""
GLANCE = 0.1
"""Seconds between two looks for a sign of life."""
GIVEN_UP = 60.0
"""A connection that ends after this many seconds was given up by QEMU and never taken by the guest."""

NO_ANSWER = "port 22 gave no answer at all: the guest has no network, or a firewall drops the packets"


async def _nobody() -> bool:
    return False


@dataclass(frozen=True)
class Outlook:
    """What is known of the guest without a word to its SSH server."""

    established: Callable[[], Awaitable[bool]] = _nobody
    """Whether the guest (not only QEMU) has taken the connection that is open."""
    told: Callable[[], bool] = lambda: False
    """Whether the console of this boot told that there should be a network by now."""
    patience: float = 0.0
    """Seconds after which to try without a sign."""


class Knock:
    """One attempt after the other on the forwarded ports of this machine."""

    def __init__(self, key: Key, outlook: Outlook) -> None:
        self._key, self._outlook = key, outlook
        self._closed = 0
        self._network = False
        self.problem = NO_ANSWER
        self.refusal = Refusal.NO_ANSWER

    async def until_open(self, port: int, idle: int | None = None) -> Guest:
        """Return the guest when root's key is accepted; the caller limits how long this may take.

        `port` leads to the guest's SSH, `idle` to a port of it where nobody listens.
        """
        async with anyio.create_task_group() as group:
            if idle is not None:
                group.start_soon(self._look_for_network, idle)
            await self._sign_of_life()
            guest = await self._admitted(port)
            group.cancel_scope.cancel()
        return guest

    async def _look_for_network(self, idle: int) -> None:
        """Until the guest refuses a connection, as only one with a network can."""
        while not self._network:
            began = time.monotonic()
            if sock := await self._connect(idle):
                with sock, anyio.move_on_after(PACE):
                    await anyio.wait_readable(sock)
                    self._network = True
            await _sleep_until(began + PACE)

    async def _sign_of_life(self) -> None:
        with anyio.move_on_after(self._outlook.patience) as scope:
            while not self._network:  # none of the signs is an event
                if self._outlook.told():
                    scope.deadline = min(scope.deadline, anyio.current_time() + SWALLOWED)
                await anyio.sleep(GLANCE)

    async def _admitted(self, port: int) -> Guest:
        while True:
            began, pause = time.monotonic(), PACE
            sock = await self._connect(port)
            try:
                if sock and await self._banner(sock, began):
                    return await self._log_in(sock)
            except (asyncssh.Error, OSError, GuestLost) as error:
                self._notice(f"SSH answers and refuses us: {_said(error)}", Refusal.LOGIN)
                pause = REFUSED
            if sock:
                sock.close()
            await _sleep_until(began + pause)

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

    async def _banner(self, sock: socket.socket, began: float) -> bool:
        """Whether the server greets; what it says stays in the socket for whoever speaks SSH.

        A connection that the guest did not take waits for QEMU's next try, 12 s away at most. It is not given up for a
        new one: the guest may take it in that very moment, or later, and nobody would speak to it.
        """
        while True:
            with anyio.move_on_after(GLANCE):
                await anyio.wait_readable(sock)
                return self._greets(sock, began)
            if await self._outlook.established():
                self._notice("port 22 accepts and sends no SSH banner", Refusal.SILENT)

    def _greets(self, sock: socket.socket, began: float) -> bool:
        try:
            if sock.recv(4, socket.MSG_PEEK):
                return True
        except ConnectionError:
            pass  # whether the end is orderly or not says nothing
        if time.monotonic() - began > GIVEN_UP:
            return False
        self._closed += 1
        self._notice(
            f"port 22 closed all of {self._closed} connections without an SSH banner: no SSH server listens, "
            "or it drops whoever connects",
            Refusal.CLOSED,
        )
        return False

    def _notice(self, problem: str, refusal: Refusal) -> None:
        """A server that has refused the key explains all that comes after it: it may not want to hear of us again."""
        if refusal is Refusal.LOGIN or self.refusal is not Refusal.LOGIN:
            self.problem, self.refusal = problem, refusal

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
        guest = Guest(Ssh(connection))
        await guest.run("true", within=120)
        return guest


async def _sleep_until(moment: float) -> None:
    await anyio.sleep(max(0.0, moment - time.monotonic()))


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
