"""What the guest may reach of the outside: nothing, some addresses, or everything. Never with a login of ours.

For a list of `HOST:PORT`, each host gets an address in the network that QEMU makes up, which the guest finds in its
/etc/hosts; whoever connects there is connected to the real one by this program, byte for byte, so TLS and names stay
the host's own. Everything else stays as unreachable as without.

QEMU starts it for each connection (`guestfwd`), with the connection as standard input: no port is open on this machine.
It must not import the package.
"""

import os
import shlex
import socket
import sys
import threading
from collections.abc import Sequence

FIRST = 101
"""The last number of the first address; the relay's is the one before (`relay.ADDRESS`)."""
MOST = 100
"""How many hosts there is room for."""

_PATIENCE = 30.0
"""Seconds for a connection to the outside."""


def network(allowed: bool | Sequence[str]) -> list[str]:
    """The options of QEMU's user network: restricted to what is served, unless everything is allowed."""
    if allowed is True:
        return []
    return ["restrict=on", *(_guestfwd(*named) for named in _named(allowed or ()))]


def hosts(allowed: bool | Sequence[str]) -> str:
    """The lines of tmpfiles.d(5) by which the guest finds them; empty when there are none."""
    if isinstance(allowed, bool) or not allowed:
        return ""
    lines = {f"{address} {host}": None for address, host, _ in _named(allowed)}
    appended = "".join(f"w+ /etc/hosts - - - - {line}\\n\n" for line in lines)
    return f"f /etc/hosts 0644 root root - -\n{appended}"


def _named(allowed: Sequence[str]) -> list[tuple[str, str, int]]:
    """Address in the made-up network, host and port."""
    pairs = [(host, int(port)) for host, _, port in (entry.rpartition(":") for entry in allowed)]
    places = {host: f"10.0.2.{FIRST + at}" for at, host in enumerate(dict.fromkeys(host for host, _ in pairs))}
    return [(places[host], host, port) for host, port in dict.fromkeys(pairs)]


def _guestfwd(address: str, host: str, port: int) -> str:
    command = shlex.join([sys.executable, "-I", __file__, host, str(port)])
    return f"guestfwd=tcp:{address}:{port}-cmd:{command}".replace(",", ",,")


def splice(guest: socket.socket, outside: socket.socket) -> None:
    """Carry bytes both ways until both sides are done."""
    back = threading.Thread(target=_carry, args=(outside, guest), daemon=True)
    back.start()
    _carry(guest, outside)
    back.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in source, target:
            end.close()


def main(host: str, port: str) -> None:
    """The connection is standard input, output and error; a host that does not answer is a hang-up."""
    with socket.socket(fileno=os.dup(0)) as guest:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            with socket.create_connection((host, int(port)), _PATIENCE) as outside:
                outside.settimeout(None)
                splice(guest, outside)
        except OSError:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
