"""Every check by its name and the gate that makes it: what a waiver may name.

The names stand here and not with the checks, because those of the gates run in other containers, with other libraries.
"""

from collections.abc import Mapping
from difflib import get_close_matches

from pipeline.domain import Channel

CHECKS: Mapping[Channel, tuple[str, ...]] = {
    Channel.NEXT: (
        "bootc-lint",
        "layout/one-kernel",
        "layout/initramfs",
        "layout/empty-boot",
        "layout/no-host-keys",
        "layout/no-authorized-keys",
        "layout/no-machine-id",
        "layout/bootc-label",
        "layout/no-expiry",
        "layout/no-channel-name",
        "sbom",
    ),
    Channel.TESTING: (
        "boot",
        "ssh",
        "kernel",
        "secure-boot",
        "bootc-digest",
        "bootc-origin",
        "system-state",
        "units",
        "services",
        "console",
        "journal",
        "usr-read-only",
        "selinux",
        "authorized-keys",
        "listening",
        "disk-usage",
        "clock",
        "boot-time",
        "boot-time-change",
        "size",
        "size-change",
        "reboot",
        "upgrade",
        "rollback",
    ),
}

OWN = {Channel.NEXT: "unit/", Channel.TESTING: "user/"}
"""What stands before the names of the repository's own tests: the file, for pytest also `::` and the test."""


def gate_of(check: str) -> Channel | None:
    """The gate that makes a check of this name; None when none does."""
    for gate, names in CHECKS.items():
        if check in names or (check.startswith(OWN[gate]) and check != OWN[gate]):
            return gate
    return None


def own_file(check: str) -> str:
    """The file of the repository's own test that a check's name is about, in its folder; empty for another check."""
    return next((check.removeprefix(own).partition("::")[0] for own in OWN.values() if check.startswith(own)), "")


def no_such_check(check: str) -> str:
    """What to say about a name that no check has; a platform's name before it belongs to no waiver."""
    if check.startswith("openqa:"):
        return "job and module instead, by which findings of openQA are waived"
    names = [name for gate in CHECKS.values() for name in gate]
    close = get_close_matches(check, names, n=1) or get_close_matches(check.partition("/")[2], names, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    own = " and ".join(f"{own}NAME" for own in OWN.values())
    return f"the name of a check; {meant}there are {', '.join(names)}, and your own as {own}"
