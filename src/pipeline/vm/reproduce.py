"""`python -m pipeline.vm.reproduce DISK`: boots a disk as the gate did, and leaves it to people.

SSH and the serial console are TCP ports of this machine as long as it runs, over any number of reboots. The disk is not
written to: all changes are gone afterwards.
"""

import argparse
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from anyio.abc import SocketStream

from pipeline.program import ended
from pipeline.vm import accelerator, firmware, qemu
from pipeline.vm.__main__ import read_spec
from pipeline.vm.disk import Base, overlay
from pipeline.vm.guest import Key
from pipeline.vm.machine import Machine, running
from pipeline.vm.progress import Progress
from pipeline.vm.spec import Spec

Relay = Callable[[SocketStream, Machine], Awaitable[None]]


def main(arguments: list[str] | None = None) -> int:
    """Boot and serve until the guest is off or we are told to stop."""
    options = _parser().parse_args(arguments)
    return ended(lambda: anyio.run(_serve, options, read_spec(options.spec)) or "")


async def _serve(options: argparse.Namespace, spec: Spec) -> None:
    say = Progress()
    base = await Base.open(options.disk)
    accel = await accelerator.choose(spec)
    say(f"{accel.name}: {accel.why}")
    flash = firmware.find(spec.arch, spec.firmware)
    key = Key.generate()
    if not options.public_key:
        await _write_key(key, options.key)
        say(f"log in: ssh -i {options.key} -p {options.ssh_port} root@localhost")
    public = options.public_key.read_text() if options.public_key else key.public
    with TemporaryDirectory(prefix="vm-reproduce-") as temporary:
        folder = Path(temporary)
        files = qemu.Files.prepare(folder, flash)
        await overlay(base, files.overlay)
        command = qemu.command(spec, accel, flash, files, public)
        async with (
            running(command, files.qmp, folder, say, lenient=True) as machine,
            anyio.create_task_group() as group,
        ):
            group.start_soon(_serve_port, options.ssh_port, machine, _relay_ssh)
            group.start_soon(_serve_port, options.console_port, machine, _relay_console)
            group.start_soon(_stop_on_signal, group.cancel_scope)
            say(f"ssh on port {options.ssh_port}, serial console on port {options.console_port}")
            while not machine.dead:
                await machine.change()
            say(str(machine.dead))
            group.cancel_scope.cancel()


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()


async def _write_key(key: Key, path: Path) -> None:
    file = anyio.Path(path)
    await file.unlink(missing_ok=True)
    await file.touch(mode=0o600)
    await file.write_bytes(key.private.export_private_key())


async def _serve_port(port: int, machine: Machine, relay: Relay) -> None:
    async def handle(client: SocketStream) -> None:
        async with client:
            try:
                await relay(client, machine)
            except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                return  # whoever hangs up ends their own connection and nothing else

    listener = await anyio.create_tcp_listener(local_port=port)
    await listener.serve(handle)


async def _relay_ssh(client: SocketStream, machine: Machine) -> None:
    """To whatever port leads to the guest in this boot."""
    guest = await anyio.connect_tcp("127.0.0.1", await machine.port(qemu.SSH))
    async with guest, anyio.create_task_group() as group:

        async def copy(source: SocketStream, target: SocketStream) -> None:
            async for chunk in source:
                await target.send(chunk)
            group.cancel_scope.cancel()

        group.start_soon(copy, client, guest)
        group.start_soon(copy, guest, client)


async def _relay_console(client: SocketStream, machine: Machine) -> None:
    """What was said so far, and then both directions."""
    send, receive = anyio.create_memory_object_stream[bytes](1000)

    def watch(chunk: bytes) -> None:
        try:
            send.send_nowait(chunk)
        except anyio.WouldBlock:
            return  # a reader that does not keep up misses some

    machine.watchers.add(watch)
    try:
        await client.send(machine.console.tail(200).replace("\n", "\r\n").encode())
        async with anyio.create_task_group() as group:

            async def keys() -> None:
                async for data in client:
                    await machine.type(data)
                group.cancel_scope.cancel()

            group.start_soon(keys)
            async for chunk in receive:
                await client.send(chunk)
    finally:
        machine.watchers.discard(watch)
        send.close()
        receive.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline.vm.reproduce", description=__doc__)
    parser.add_argument("disk", type=Path, help="a qcow2 or raw disk image")
    parser.add_argument("--spec", type=Path, help="the machine, as JSON (pipeline.vm.spec.Spec)")
    parser.add_argument("--public-key", type=Path, help="who may log in as root (default: a new key)")
    parser.add_argument("--key", type=Path, default=Path("gate-key"), help="where the new key goes (%(default)s)")
    parser.add_argument("--ssh-port", type=int, default=2222, help="default: %(default)s")
    parser.add_argument("--console-port", type=int, default=2223, help="serial console, raw TCP; default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
