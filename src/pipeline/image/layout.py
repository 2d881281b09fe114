"""What the file tree of a bootc image must look like, whether or not `bootc container lint` is there to say so.

Sources: bootc documentation, "Bootable images" (kernel in /usr/lib/modules, empty /boot, label containers.bootc)
and "Filesystem" (/var is for the machine, /usr for the image); systemd machine-id(5) for images.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pipeline.domain import Channel
from pipeline.report.model import Check, CheckStatus

BOOTC_LABEL = "containers.bootc"
EXPIRY_LABEL = "quay.expires-after"
VERSION_LABEL = "org.opencontainers.image.version"

Labels = Mapping[str, str]


def check_layout(root: Path, labels: Labels) -> list[Check]:
    """Run every layout check on an unpacked image. `root` is its file tree, `labels` those of its config."""
    findings = {name: check(root) for name, check in _TREE_CHECKS.items()}
    findings |= {name: check(labels) for name, check in _LABEL_CHECKS.items()}
    return [
        Check(name=f"layout/{name}", status=CheckStatus.FAILED if finding else CheckStatus.PASSED, reason=finding or "")
        for name, finding in findings.items()
    ]


def _kernel(root: Path) -> str | None:
    kernels = sorted(path.parent.name for path in root.glob("usr/lib/modules/*/vmlinuz") if path.stat().st_size)
    if len(kernels) == 1:
        return None
    return f"found {_listed(kernels)}; expected exactly one non-empty /usr/lib/modules/*/vmlinuz"


def _boot_is_empty(root: Path) -> str | None:
    found = sorted(path.name for path in root.glob("boot/*"))
    return f"found {_listed(found)} in /boot; expected it empty: it is filled at installation" if found else None


def _bootc_label(labels: Labels) -> str | None:
    value = labels.get(BOOTC_LABEL)
    return None if value == "1" else f"label {BOOTC_LABEL} is {value!r}; expected '1' (LABEL {BOOTC_LABEL}=1)"


def _expiry_label(labels: Labels) -> str | None:
    value = labels.get(EXPIRY_LABEL)
    return value and f"label {EXPIRY_LABEL}={value} would delete a released image; expected no such label"


def _channel_label(labels: Labels) -> str | None:
    baked = labels.get(VERSION_LABEL)
    if baked in {channel.value for channel in Channel}:
        return f"label {VERSION_LABEL} is the channel name {baked!r}; an image moves through all of them unchanged"
    return None


def _host_keys(root: Path) -> str | None:
    keys = sorted(path.name for path in root.glob("etc/ssh/ssh_host_*_key"))
    return f"found {_listed(keys)} in /etc/ssh; expected none: every machine would share them" if keys else None


def _authorized_keys(root: Path) -> str | None:
    places = ("root", "var/roothome", "var/home/*", "home/*")
    found = [path for place in places for path in root.glob(f"{place}/.ssh/authorized_keys") if path.stat().st_size]
    names = sorted(str(path.relative_to(root)) for path in found)
    return f"found /{', /'.join(names)}; expected none: who holds the key could enter every machine" if names else None


def _machine_id(root: Path) -> str | None:
    path = root / "etc/machine-id"
    content = path.read_text().strip() if path.is_file() else ""
    return None if content in ("", "uninitialized") else "/etc/machine-id is set; expected it empty or absent"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


_TREE_CHECKS: dict[str, Callable[[Path], str | None]] = {
    "one-kernel": _kernel,
    "empty-boot": _boot_is_empty,
    "no-host-keys": _host_keys,
    "no-authorized-keys": _authorized_keys,
    "no-machine-id": _machine_id,
}

_LABEL_CHECKS: dict[str, Callable[[Labels], str | None]] = {
    "bootc-label": _bootc_label,
    "no-expiry": _expiry_label,
    "no-channel-name": _channel_label,
}
