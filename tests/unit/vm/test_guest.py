"""A connection that breaks is one error that says so, whoever notices first."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import asyncssh
import pytest

from pipeline.vm.guest import Guest, GuestLost, Ssh


class Broken:
    """An output whose connection is gone."""

    async def read(self, size):
        raise asyncssh.ConnectionLost("Connection lost")


class Said:
    """An output that says something and ends."""

    def __init__(self, *chunks):
        self.chunks = [*chunks, b""]

    async def read(self, size):
        return self.chunks.pop(0)


def guest(stdout, stderr, write=lambda data: None, status=0):
    async def closed():
        return None

    @asynccontextmanager
    async def create_process(command, encoding):
        stdin = SimpleNamespace(write=write, write_eof=lambda: None)
        yield SimpleNamespace(stdin=stdin, stdout=stdout, stderr=stderr, wait_closed=closed, returncode=status)

    return Guest(Ssh(SimpleNamespace(create_process=create_process)))


async def test_both_outputs_that_break_at_once_are_one_lost_guest():
    with pytest.raises(GuestLost, match="`systemctl reboot`: Connection lost"):
        await guest(Broken(), Broken()).run("systemctl", "reboot")


async def test_one_output_that_breaks_is_a_lost_guest():
    with pytest.raises(GuestLost, match="Connection lost"):
        await guest(Said(b"half"), Broken()).run("true")


async def test_a_command_that_ends_before_its_input_is_closed_has_answered():
    def ended(data):
        raise BrokenPipeError("Channel not open for sending")

    answer = await guest(Said(b"6.1.0\n"), Said(), write=ended).run("uname", "-r")
    assert (answer.ok, answer.out) == (True, "6.1.0\n")
