"""The guest as one sees it from inside: commands, over whatever way leads there."""

import contextlib
from dataclasses import dataclass
from shlex import join
from typing import Protocol, Self

import anyio
import asyncssh

from pipeline.vm.spent import Interval, during

OUTPUT_LIMIT = 4 << 20
"""Bytes of a command's output that are kept."""


class GuestLost(Exception):
    """The connection to the guest broke, or a command did not answer in time."""


@dataclass(frozen=True)
class Answer:
    """What a command in the guest gave back."""

    status: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Whether the command ended with status 0."""
        return self.status == 0

    @property
    def text(self) -> str:
        """Both outputs, for people."""
        return "\n".join(part for part in (self.out.strip(), self.err.strip()) if part)


@dataclass(frozen=True)
class Key:
    """A key pair that lives as long as one run."""

    private: asyncssh.SSHKey

    @classmethod
    def generate(cls) -> Self:
        """Make a new Ed25519 pair."""
        return cls(asyncssh.generate_private_key("ssh-ed25519", comment="gate"))

    @property
    def public(self) -> str:
        """One line as it stands in authorized_keys."""
        return self.private.export_public_key().decode().strip()


Reply = tuple[int, bytes, bytes]
"""Status and both outputs, each as far as it is kept."""


class Line(Protocol):
    """What carries commands to the guest."""

    async def run(self, text: str, stdin: bytes, within: float) -> Reply:
        """Run a command line as root. Raises asyncssh.Error or OSError when the connection breaks."""

    async def close(self) -> None:
        """End the connection without asking the guest."""


class Ssh:
    """An authenticated connection, with a channel for each command."""

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self._connection = connection

    async def run(self, text: str, stdin: bytes, within: float) -> Reply:  # noqa: ARG002  whoever asks stops waiting
        """Run a command line; it ends with its channel."""
        async with self._connection.create_process(text, encoding=None) as process:
            with contextlib.suppress(BrokenPipeError):  # a quick command has closed its end already
                process.stdin.write(stdin)
                process.stdin.write_eof()
            out, err = await _gather(process.stdout, process.stderr)
            await process.wait_closed()
            return 255 if process.returncode is None else process.returncode, out, err

    async def close(self) -> None:
        """End the connection without asking the guest."""
        self._connection.abort()
        with anyio.move_on_after(1):
            await self._connection.wait_closed()


class Guest:
    """Root's commands in a guest."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.worked: list[Interval] = []
        """When it was busy with a command of ours."""

    async def close(self) -> None:
        """End the connection without asking the guest."""
        await self._line.close()

    async def run(self, *command: str, within: float = 60, stdin: bytes = b"") -> Answer:
        """Run a command, given as its arguments.

        Raises GuestLost when the connection breaks or no answer comes within `within` seconds.
        """
        text = join(command)
        try:
            with during(self.worked), anyio.fail_after(within):
                status, out, err = await self._line.run(text, stdin, within)
        except TimeoutError:
            raise GuestLost(f"`{text}` gave no answer in {within:.0f} s") from None
        except (asyncssh.Error, OSError) as error:
            raise GuestLost(f"the connection broke during `{text}`: {error}") from error
        return Answer(status, out.decode(errors="replace"), err.decode(errors="replace"))

    async def out(self, *command: str, within: float = 60) -> str:
        """The standard output of a command, stripped, whatever its status."""
        return (await self.run(*command, within=within)).out.strip()

    async def has(self, program: str) -> bool:
        """Whether the guest's shell finds a program."""
        return (await self.run("sh", "-c", f"PATH=$PATH:/usr/sbin:/sbin; command -v {program}")).ok


async def _gather(out: asyncssh.SSHReader[bytes], err: asyncssh.SSHReader[bytes]) -> tuple[bytes, bytes]:
    """Both outputs to their ends; when the connection breaks, its error itself and not a group of them."""
    kept = [bytearray(), bytearray()]
    broken: list[Exception] = []

    async def take(index: int, reader: asyncssh.SSHReader[bytes]) -> None:
        try:
            while chunk := await reader.read(1 << 16):
                kept[index] += chunk[: max(0, OUTPUT_LIMIT - len(kept[index]))]
        except (asyncssh.Error, OSError) as error:
            broken.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(take, 0, out)
        group.start_soon(take, 1, err)
    if broken:
        raise broken[0]
    return bytes(kept[0]), bytes(kept[1])
