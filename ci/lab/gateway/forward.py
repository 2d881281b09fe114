"""A door to servers elsewhere: forward.py [--own-address] PORT:HOST:PORT... passes on what comes to each first PORT.

--own-address makes every connection come from a loopback address of its own. `dagger … up` tells connections apart by
address and port alone and never forgets one: as soon as a port number comes round again, it mixes two up (seen with
v0.21.8 after some hundred connections).
"""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address

CHUNK = 1 << 20
FIRST_ADDRESS = IPv4Address("127.0.1.1")


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy until the source ends, then say so to the other side."""
    with contextlib.suppress(ConnectionError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
        sink.write_eof()


async def forward(port: int, host: str, target: int, addresses: Iterator[tuple[str, int] | None]) -> None:
    """Serve one port for ever."""

    async def connected(here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        there = None
        try:
            reader, there = await asyncio.open_connection(host, target, local_addr=next(addresses))
            await asyncio.gather(pump(here, there), pump(reader, back))
        except OSError as error:
            print(f"{host}:{target}: {error}", file=sys.stderr, flush=True)
        finally:
            for writer in filter(None, (back, there)):
                writer.close()

    server = await asyncio.start_server(connected, port=port)
    await server.serve_forever()


async def main(arguments: list[str]) -> None:
    """Serve every door."""
    own = arguments[0] == "--own-address"
    addresses: Iterator[tuple[str, int] | None] = itertools.repeat(None)
    if own:
        addresses = ((str(FIRST_ADDRESS + number), 0) for number in itertools.count())
    doors = [door.split(":") for door in arguments[own:]]
    await asyncio.gather(*(forward(int(port), host, int(target), addresses) for port, host, target in doors))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1:]))
