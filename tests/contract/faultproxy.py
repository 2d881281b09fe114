"""An HTTP proxy in front of a registry that fails on purpose at the k-th request; also runs alone (standard library).

python faultproxy.py --upstream 127.0.0.1:5000 --listen 127.0.0.1:5001 --fault reset_after --at 7 [--forever]
"""

import argparse
import asyncio
import contextlib
import random
import socket
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

_HANG = 3600.0
_TLS = b"\x16"
"""The first byte of a handshake (RFC 8446 section 5.1, ContentType)."""


class Fault(StrEnum):
    """What goes wrong with one request. *After* means that the registry has carried it out."""

    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    TOO_MANY = "too_many"
    INTERNAL = "internal"
    BAD_GATEWAY_BEFORE = "bad_gateway_before"
    BAD_GATEWAY_AFTER = "bad_gateway_after"
    NOT_FOUND_PAGE = "not_found_page"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    TRUNCATED = "truncated"
    WRONG_DIGEST = "wrong_digest"
    WRONG_BODY = "wrong_body"


_BEFORE = frozenset(
    {
        Fault.RESET_BEFORE,
        Fault.TOO_MANY,
        Fault.INTERNAL,
        Fault.BAD_GATEWAY_BEFORE,
        Fault.NOT_FOUND_PAGE,
        Fault.TIMEOUT_BEFORE,
    }
)


@dataclass
class Message:
    """A request or an answer: its first line, its headers as sent, its whole body."""

    first: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")

    def replaced(self, name: str, value: str) -> "Message":
        kept = [(key, old) for key, old in self.headers if key.lower() != name]
        return Message(self.first, [*kept, (name, value)], self.body)

    def encoded(self) -> bytes:
        head = "\r\n".join([self.first, *(f"{key}: {value}" for key, value in self.headers)])
        return head.encode("latin-1") + b"\r\n\r\n" + self.body


@dataclass
class FaultProxy:
    """Serves on `listen` (port 0: any) and passes everything to `upstream` but for the fault; host:port each."""

    upstream: str
    listen: str = "127.0.0.1:0"
    retry_after: int = 0
    fault: Fault | None = None
    at: int = 0
    forever: bool = False
    delay: float = 0.0
    """Longest time, in seconds, that a request and its answer are each held up; chance decides."""
    log: list[str] = field(default_factory=list)
    """One line for each request: number, first line, who asked, what became of it."""

    def __post_init__(self) -> None:
        self.reached = asyncio.Event()
        """Set when the fault has been met."""

    async def __aenter__(self) -> Self:
        host, _, port = self.listen.rpartition(":")
        self._server = await asyncio.start_server(self._serve, host, int(port))
        self._connections: set[asyncio.Task[None]] = set()
        self.address = "{}:{}".format(*self._server.sockets[0].getsockname()[:2])
        return self

    async def __aexit__(self, *details: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def arm(self, fault: Fault, at: int, *, forever: bool = False) -> None:
        """Fail at the `at`-th request from now, counted from 1, and at all after it if `forever`."""
        self.log = []
        self.reached = asyncio.Event()
        self.fault, self.at, self.forever = fault, at, forever

    def disarm(self) -> None:
        """Only pass on and count."""
        self.log = []
        self.fault = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; whether the connection goes on."""
        request = await _read(reader, writer)
        if request is None:
            return False
        log = self.log
        number = len(log) + 1
        hit = self.fault and (number == self.at or (self.forever and number > self.at))
        fault = self.fault if hit else None
        if fault:
            self.reached.set()
        log.append(f"{number} {request.first} {request.header('user-agent')} {fault or ''}".strip())
        await asyncio.sleep(random.uniform(0, self.delay))
        answer = None if fault in _BEFORE else await self._ask(request)
        await asyncio.sleep(random.uniform(0, self.delay))
        if answer:
            log[number - 1] += f" {answer.first.partition(' ')[2]}"
        match fault:
            case Fault.RESET_BEFORE | Fault.RESET_AFTER:
                _reset(writer)
                return False
            case Fault.TIMEOUT_BEFORE | Fault.TIMEOUT_AFTER:
                await asyncio.sleep(_HANG)
            case Fault.TOO_MANY:
                answer = _page("429 Too Many Requests").replaced("retry-after", str(self.retry_after))
            case Fault.INTERNAL:
                answer = _page("500 Internal Server Error")
            case Fault.BAD_GATEWAY_BEFORE | Fault.BAD_GATEWAY_AFTER:
                answer = _page("502 Bad Gateway")
            case Fault.NOT_FOUND_PAGE:
                answer = _page("404 Not Found")
            case Fault.WRONG_DIGEST if answer and answer.header("docker-content-digest"):
                answer = answer.replaced("docker-content-digest", "sha256:" + "f" * 64)
            case Fault.WRONG_BODY if answer and answer.body:
                answer.body = bytes([answer.body[0] ^ 1]) + answer.body[1:]
            case Fault.TRUNCATED if answer:
                whole = answer.encoded()
                writer.write(whole[: len(whole) - max(1, len(answer.body) // 2)])
                await writer.drain()
                return False
        assert answer
        if request.first.startswith("HEAD"):
            answer.body = b""
        writer.write(answer.encoded())
        await writer.drain()
        return True

    async def _ask(self, request: Message) -> Message:
        host, _, port = self.upstream.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            plain = request.replaced("connection", "close").replaced("content-length", str(len(request.body)))
            plain.headers = [(key, value) for key, value in plain.headers if key.lower() != "transfer-encoding"]
            writer.write(plain.encoded())
            await writer.drain()
            answer = await _read(reader, None, head_only=request.first.startswith("HEAD"))
            assert answer, "the registry behind the proxy hung up"
        finally:
            writer.close()
        hidden = ("transfer-encoding", "connection")
        answer.headers = [(key, value) for key, value in answer.headers if key.lower() not in hidden]
        if not request.first.startswith("HEAD"):
            answer = answer.replaced("content-length", str(len(answer.body)))
        return answer


async def _read(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, *, head_only: bool = False
) -> Message | None:
    """A message with its whole body, None at the end of the connection; `writer` is for Expect: 100-continue."""
    try:
        opening = await reader.readexactly(1)
        if opening == _TLS:  # a client that tries TLS first, as skopeo does, goes on without it when hung up on
            return None
        head = opening + await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    message = Message(first, [(key, value.strip()) for key, _, value in pairs])
    if writer and message.header("expect").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if head_only:
        return message
    if message.header("transfer-encoding").lower() == "chunked":
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            message.body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    elif length := message.header("content-length"):
        message.body = await reader.readexactly(int(length))
    return message


def _page(status: str) -> Message:
    body = f"<html><body><h1>{status}</h1></body></html>".encode()
    headers = [("content-type", "text/html"), ("content-length", str(len(body)))]
    return Message(f"HTTP/1.1 {status}", headers, body)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with a RST."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--fault", type=Fault, choices=list(Fault))
    parser.add_argument("--at", type=int, default=0)
    parser.add_argument("--forever", action="store_true")
    parser.add_argument("--retry-after", type=int, default=1)
    parser.add_argument("--delay", type=float, default=0.0)
    options = vars(parser.parse_args())
    async with FaultProxy(**options) as proxy:
        print(f"faults from {proxy.address} to {proxy.upstream}", flush=True)
        shown = 0
        while True:
            await asyncio.sleep(0.2)
            for line in proxy.log[shown:]:
                print(line, flush=True)
            shown = len(proxy.log)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
