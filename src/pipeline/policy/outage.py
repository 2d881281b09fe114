"""Telling an outage from a verdict in what a build tool printed, which has one exit code for both."""

import re

_SIGNS = [
    r"(?i)connection (refused|reset|timed out)",
    r"(?i)i/o timeout",
    r"(?i)no such host",
    r"(?i)temporary failure in name resolution",
    r"(?i)tls handshake timeout",
    r"(?i)(pinging container registry|initializing source docker://).*: (EOF|received unexpected HTTP status: 5\d\d)",
    r"(?i)toomanyrequests|too many requests",
    r"(?i)could not resolve host",
    r"(?i)no space left on device",
]
"""What containers/image, dnf, apt and curl say of networks, registries and disks that fail."""


def looks_like_an_outage(said: str, lines: int = 40) -> bool:
    """Whether the end of a failed build's output names the network, a registry or this machine as the cause."""
    end = "\n".join(said.splitlines()[-lines:])
    return any(re.search(sign, end) for sign in _SIGNS)
