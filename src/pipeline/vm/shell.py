"""Commands to a shell that listens on a virtio port: binary-safe, one after the other, each with its own answer."""

import base64
import re
from pathlib import Path
from shlex import quote
from typing import Self

import anyio
from anyio.abc import ByteStream

from pipeline.vm.guest import OUTPUT_LIMIT, Reply

_PLACE = "/run/vm-gate-shell"
_GLANCE = 0.1


class Shell:
    """The harness's end of the port, which QEMU makes a socket of this machine."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._busy = anyio.Lock()
        self._asked = 0
        self._read = bytearray()

    @classmethod
    async def open(cls, socket: Path) -> Self:
        """Connect as soon as QEMU is there; what is sent then waits for the guest to listen."""
        while True:
            try:
                return cls(await anyio.connect_unix(socket))
            except OSError:
                await anyio.sleep(_GLANCE)

    async def run(self, text: str, stdin: bytes, within: float) -> Reply:
        """Have the shell run a command, which it ends when whoever asks has stopped waiting (`within`, seconds).

        Raises ConnectionError when the port is gone.
        """
        async with self._busy:
            self._asked += 1
            try:
                await self._stream.send(script(self._asked, text, stdin, within))
                return await self._answer(self._asked)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                raise ConnectionError("the virtio console is gone") from None

    async def _answer(self, number: int) -> Reply:
        """The one to this question; what is left of an earlier one that nobody waited for is passed over."""
        mark = re.compile(rb"\nvm-gate %d (\d+) (\d+) (\d+)\n" % number)
        while not (found := mark.search(self._read)):
            self._read += await self._stream.receive()
        status, out, err = map(int, found.groups())
        del self._read[: found.end()]
        while len(self._read) < out + err:
            self._read += await self._stream.receive()
        answer = bytes(self._read[: out + err])
        del self._read[: out + err]
        return status, answer[:out], answer[out:]

    async def close(self) -> None:
        """Let go of the port."""
        await self._stream.aclose()


def script(number: int, text: str, stdin: bytes, within: float) -> bytes:
    """What the shell reads for one command: its input, the command, and its answer behind a line that counts it."""
    return (
        f"base64 -d >{_PLACE}.in <<'END'\n{base64.encodebytes(stdin).decode()}END\n"
        f"timeout -k 2 {within + 1:.0f} /bin/sh -c {quote(text)} <{_PLACE}.in >{_PLACE}.out 2>{_PLACE}.err\n"
        f"s=$?; o=$(head -c {OUTPUT_LIMIT} {_PLACE}.out | wc -c); e=$(head -c {OUTPUT_LIMIT} {_PLACE}.err | wc -c)\n"
        f"printf '\\nvm-gate {number} %d %d %d\\n' $s $o $e\n"
        f"head -c $o {_PLACE}.out; head -c $e {_PLACE}.err\n"
    ).encode()
