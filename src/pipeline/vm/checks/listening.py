"""Nothing listens beyond loopback but what is allowed.

Read from the kernel's own tables (proc_net_tcp in the kernel's documentation): images without `ss` have those too.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found, Skipped

_ENTRY = re.compile(r"^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) [0-9A-F]+:([0-9A-F]{4}) ([0-9A-F]{2}) ")
_LISTENING = {"tcp": "0A", "udp": "07"}
"""The kernel's states TCP_LISTEN, and TCP_CLOSE for a UDP socket that is not connected."""


async def _look(session: Session) -> Found | Skipped:
    if session.spec.listen is None:
        return Skipped("not-configured", "no list of allowed sockets is configured")
    found: set[str] = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        found |= sockets(table[:3], await session.guest.out("cat", f"/proc/net/{table}"))
    output = await session.guest.out("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; ss -tulpn")
    return compare(found, session.spec.listen, output)


def sockets(protocol: str, table: str) -> set[str]:
    """The sockets of one table that others can reach, as `tcp/22`."""
    found = set()
    for line in table.splitlines():
        entry = _ENTRY.match(line)
        if entry and entry[4] == _LISTENING[protocol] and entry[3] == "0000" and not _address(entry[1]).is_loopback:
            found.add(f"{protocol}/{int(entry[2], 16)}")
    return found


def compare(found: set[str], allowed: list[str], output: str = "") -> Found:
    """The verdict on sockets and those that are allowed."""
    extra = sorted(found - set(allowed), key=lambda name: (name.split("/")[0], int(name.split("/")[1])))
    expected = f"only {', '.join(allowed)}" if allowed else "none"
    return Found([f"{name} listens" for name in extra], expected, note=", ".join(sorted(found)), output=output)


def _address(text: str) -> IPv4Address | IPv6Address:
    """Each 32-bit word is written in the byte order of the guest, which is little-endian on all that we boot."""
    words = bytes.fromhex(text)
    address = ip_address(b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4)))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


CHECK = VmCheck("listening", _look)
