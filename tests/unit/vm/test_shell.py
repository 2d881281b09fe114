"""Commands over a virtio console: shown with a real shell at the other end of a socket."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import DEVNULL

import anyio
import pytest
from anyio.abc import SocketStream

from pipeline.vm import shell as under_test
from pipeline.vm.guest import Guest, GuestLost
from pipeline.vm.served import served
from pipeline.vm.shell import Shell
from pipeline.vm.user_checks import UserChecks
from pipeline.vm.verdict import Found
from pipeline.vm.ways import Way

from .test_user_checks import session  # noqa: F401

MODULE = """
def test_kernel(host):
    assert host.run("printf a%s", "ü").stdout == "aü"
    assert host.run("exit 3").rc == 3


def test_wrong(host):
    assert host.file("/nowhere").exists
"""


@pytest.fixture
async def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Guest]:
    monkeypatch.setattr(under_test, "_PLACE", str(tmp_path / "place"))
    ours, theirs = socket.socketpair()
    async with await anyio.open_process(["/bin/sh"], stdin=theirs, stdout=theirs, stderr=DEVNULL) as program:
        theirs.close()
        yield Guest(Shell(await SocketStream.from_socket(ours)))
        program.kill()


async def test_a_command_answers_with_status_and_both_outputs(guest: Guest) -> None:
    answer = await guest.run("sh", "-c", "echo out; echo 'it''s err' >&2; exit 7")
    assert (answer.status, answer.out, answer.err) == (7, "out\n", "its err\n")


async def test_input_and_output_are_any_bytes(guest: Guest) -> None:
    data = bytes(range(256)) * 300
    answer = await guest.run("sh", "-c", "cat | sha256sum; printf 'vm-gate 2 0 9 9\\n'", stdin=data)
    assert answer.out.endswith("vm-gate 2 0 9 9\n")
    assert (await guest.out("printf", "%s", "no newline")) == "no newline"
    assert (await guest.out("wc", "-c")) == "0"


async def test_an_answer_that_nobody_waited_for_is_passed_over(guest: Guest) -> None:
    with anyio.move_on_after(0.1):
        await guest.run("sh", "-c", "sleep 0.5; echo late")
    assert await guest.out("echo", "mine") == "mine"


async def test_a_command_without_an_end_is_lost_and_the_next_one_is_not(guest: Guest) -> None:
    with pytest.raises(GuestLost, match="no answer in 0 s"):
        await guest.run("sleep", "60", within=0.2)
    assert await guest.out("echo", "there", within=10) == "there"


async def test_a_console_that_goes_away_is_a_lost_guest() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    guest = Guest(Shell(await SocketStream.from_socket(ours)))
    with pytest.raises(GuestLost, match="the virtio console is gone"):
        await guest.run("true")


async def test_a_served_guest_answers_and_says_when_it_is_lost(guest: Guest, tmp_path: Path) -> None:
    place = tmp_path / "guest"

    async def ask(line: bytes) -> bytes:
        async with await anyio.connect_unix(place) as client:
            await client.send(line)
            return await client.receive()

    async with served(guest, place, 0.3):
        assert await ask(b'{"command": "echo a; exit 2"}\n') == b'{"status": 2, "out": "a\\n", "err": ""}\n'
        assert b'"lost"' in await ask(b'{"command": "sleep 9"}\n')


async def test_pytest_modules_run_without_ssh(guest: Guest, tmp_path: Path, session: object) -> None:  # noqa: F811
    session.way, session.guest = Way.SHELL, guest  # type: ignore[attr-defined]
    (tmp_path / "test_os.py").write_text(MODULE)
    kernel, wrong = await UserChecks.find(tmp_path)._pytest(session)  # type: ignore[arg-type]
    assert (kernel.name, kernel.found) == ("user/test_os.py::test_kernel", Found())
    assert wrong.name == "user/test_os.py::test_wrong"
    assert isinstance(wrong.found, Found)
    assert wrong.found.findings
