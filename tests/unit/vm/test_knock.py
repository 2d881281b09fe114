"""SSH is noticed as soon as it answers, and what stood in the way is remembered."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import asyncssh
import pytest

from pipeline.vm.guest import Key
from pipeline.vm.knock import Knock


async def nobody() -> bool:
    return False


async def taken() -> bool:
    return True


@pytest.fixture
def port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def sshd(port: int, key: Key) -> AsyncIterator[None]:
    """An SSH server that lets root in by this key and answers every command with its name."""

    def answer(process: asyncssh.SSHServerProcess[str]) -> None:
        process.stdout.write(f"{process.command}\n")
        process.exit(0)

    async with asyncssh.listen(
        "127.0.0.1",
        port,
        server_host_keys=[Key.generate().private],
        authorized_client_keys=asyncssh.import_authorized_keys(key.public),
        process_factory=answer,
    ):
        yield


@asynccontextmanager
async def hangs_up(port: int) -> AsyncIterator[None]:
    async def handle(stream: anyio.abc.SocketStream) -> None:
        await stream.aclose()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        yield
        group.cancel_scope.cancel()


async def test_ssh_is_noticed_within_a_quarter_of_a_second(port: int) -> None:
    key, opened = Key.generate(), 0.0

    async def open_late() -> None:
        nonlocal opened
        await anyio.sleep(0.5)
        async with sshd(port, key):
            opened = time.monotonic()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(open_late)
        knock = Knock(key, nobody)
        sock = None
        while not (sock and await knock._banner(sock)):
            sock = await knock._connect(port)
            await anyio.sleep(0.1)
        assert time.monotonic() - opened < 0.25
        group.cancel_scope.cancel()


async def test_an_open_server_gives_a_guest_that_answers(port: int) -> None:
    key = Key.generate()
    async with sshd(port, key):
        guest = await Knock(key, taken).until_open(port)
        assert await guest.out("uname", "-r") == "uname -r"
        await guest.close()


async def test_a_server_that_hangs_up_is_counted(port: int) -> None:
    knock = Knock(Key.generate(), nobody)
    async with hangs_up(port):
        with anyio.move_on_after(0.5):
            await knock.until_open(port)
    assert "without an SSH banner" in knock.problem


async def test_a_server_that_refuses_the_key_is_told_apart(port: int) -> None:
    knock = Knock(Key.generate(), taken)
    async with sshd(port, Key.generate()):
        with anyio.move_on_after(2):
            await knock.until_open(port)
    assert knock.problem.startswith("SSH answers and refuses us: Permission denied")


async def test_a_silent_server_that_took_the_connection_is_waited_for(port: int) -> None:
    knock = Knock(Key.generate(), taken)
    with socket.create_server(("127.0.0.1", port)), anyio.move_on_after(0.5):
        await knock.until_open(port)
    assert knock.problem == "port 22 accepts and sends no SSH banner"


async def test_a_guest_without_a_network_is_told_apart(port: int) -> None:
    knock = Knock(Key.generate(), nobody)
    with socket.create_server(("127.0.0.1", port)), anyio.move_on_after(0.5):
        await knock.until_open(port)
    assert "no network" in knock.problem
