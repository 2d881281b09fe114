"""One address for several servers: forward.py NAME:PORT... listens on each PORT and passes on to NAME:PORT."""

import asyncio
import contextlib
import sys

CHUNK = 1 << 20


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy until the source ends, then say so to the other side."""
    with contextlib.suppress(ConnectionError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
        sink.write_eof()


async def forward(host: str, port: int) -> None:
    """Serve one port for ever."""

    async def connected(here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        there = None
        try:
            reader, there = await asyncio.open_connection(host, port)
            await asyncio.gather(pump(here, there), pump(reader, back))
        except OSError as error:
            print(f"{host}:{port}: {error}", file=sys.stderr, flush=True)
        finally:
            for writer in filter(None, (back, there)):
                writer.close()

    server = await asyncio.start_server(connected, port=port)
    await server.serve_forever()


async def main(targets: list[str]) -> None:
    """Serve every target."""
    pairs = (target.rsplit(":", 1) for target in targets)
    await asyncio.gather(*(forward(host, int(port)) for host, port in pairs))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
