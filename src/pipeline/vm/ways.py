"""The ways into a guest, from the plainest to the one that needs least of the image.

Everything comes from outside, by credentials over SMBIOS (systemd.system-credentials(7)), and is gone with the overlay:
the disk under test has neither key nor unit of ours. A way that does not work costs a boot of its own, so that what is
measured and judged is always a boot with nothing but what its way needs.
"""

import base64
from collections.abc import Sequence
from enum import StrEnum


class Way(StrEnum):
    """How the gate gets in."""

    KEY = "key"
    """Root's key, at the SSH server that the image runs."""
    SERVER = "server"
    """The same at the image's SSH server that a credential starts and opens to root's key."""
    SHELL = "shell"
    """A shell on a virtio console, without any SSH server."""

    @property
    def text(self) -> str:
        """For people."""
        return _TEXTS[self]


_TEXTS = {
    Way.KEY: "root's key at the SSH server that the image runs",
    Way.SERVER: "root's key at the image's SSH server, started and opened by a credential",
    Way.SHELL: "a shell on a virtio console, without SSH",
}


class Refusal(StrEnum):
    """What port 22 did instead of letting us in."""

    NO_ANSWER = "no-answer"
    CLOSED = "closed"
    SILENT = "silent"
    LOGIN = "login"


UNITS_BY_CREDENTIAL = 256
"""The systemd from which on a credential makes units (systemd-debug-generator(8))."""

PORT = "pipeline.gate"
"""What the virtio port is called in the guest."""

_SHELL_UNIT = f"""[Unit]
Description=Shell of the VM gate
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sh -c 'until [ -c /dev/virtio-ports/{PORT} ]; do sleep 0.2; done; \
exec /bin/sh <>/dev/virtio-ports/{PORT} >&0 2>/dev/null'
Environment=HOME=/root LANG=C.UTF-8
WorkingDirectory=-/root
Restart=always
TimeoutStopSec=1
"""

_OPENED = "-o PermitRootLogin=prohibit-password -o PubkeyAuthentication=yes -o AuthorizedKeysFile=.ssh/authorized_keys"
"""Before its own settings, of which the first one counts (sshd_config(5))."""


def credentials(way: Way, public_key: str, files: str = "") -> list[str]:
    """What SMBIOS says to the guest's systemd; a credential is NAME=BASE64 behind its prefix.

    `files`: more lines of tmpfiles.d(5).
    """
    match way:
        case Way.KEY:
            made = _key(public_key)
        case Way.SERVER:
            made = _key(public_key) | _server()
        case Way.SHELL:
            made = {"systemd.extra-unit.vm-gate-shell.service": _SHELL_UNIT} | _wanted("vm-gate-shell.service")
    if tmpfiles := made.get("tmpfiles.extra", "") + files:
        made["tmpfiles.extra"] = tmpfiles
    return [f"io.systemd.credential.binary:{name}={_base64(text)}" for name, text in made.items()]


def _key(public_key: str) -> dict[str, str]:
    """Let root in by this key, also where the image has an authorized_keys already.

    The first credential makes the file when there is none; the second appends to it (tmpfiles.d(5), `w+~`).
    """
    line = public_key.strip() + "\n"
    return {
        "ssh.authorized_keys.root": line,
        "tmpfiles.extra": f"w+~ /root/.ssh/authorized_keys - - - - {_base64(line)}\n",
    }


def _server() -> dict[str, str]:
    """Distributions call it ssh or sshd; a unit that is not there is wanted in vain, and one that is masked, too."""
    how = {"sshd": f"-D {_OPENED} $OPTIONS", "ssh": f"-D {_OPENED} $SSHD_OPTS"}
    how |= {"sshd@": f"-i {_OPENED} $OPTIONS", "ssh@": f"-i {_OPENED} $SSHD_OPTS"}
    opened = {
        f"systemd.unit-dropin.{unit}.service": f"[Service]\nExecStart=\nExecStart=/usr/sbin/sshd {arguments}\n"
        for unit, arguments in how.items()
    }
    return _wanted("sshd.service", "ssh.service") | opened


def _wanted(*units: str) -> dict[str, str]:
    return {"systemd.unit-dropin.multi-user.target": f"[Unit]\nWants={' '.join(units)}\n"}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def next_way(ways: Sequence[Way], tried: Way, refusal: Refusal, systemd: int | None) -> Way | None:
    """The way to try after one that led nowhere although the system was up; None when none can do better.

    `systemd` is the version that the console showed. A server that accepts and says nothing is a broken one and no
    closed door; where no packet comes back, a started server would not be reached either.
    """
    left = list(ways[ways.index(tried) + 1 :])
    if refusal is Refusal.SILENT or (systemd is not None and systemd < UNITS_BY_CREDENTIAL):
        return None
    if refusal is Refusal.NO_ANSWER:
        left = [way for way in left if way is Way.SHELL]
    return left[0] if left else None
