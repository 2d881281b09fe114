"""What the file tree of a bootc image must look like, whether or not `bootc container lint` is there to say so.

Sources: bootc documentation, "Bootable images" (kernel with its initramfs in /usr/lib/modules, empty /boot, label
containers.bootc) and "Filesystem" (/var is for the machine, /usr for the image); bootc's lint `nonempty-boot`, which
allows /boot/EFI, and its search for a kernel, which takes a unified kernel image (UKI) first; systemd machine-id(5).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from pipeline.domain import Channel
from pipeline.image.tree import Entry, Tree
from pipeline.report.model import Check, CheckStatus

BOOTC_LABEL = "containers.bootc"
EXPIRY_LABEL = "quay.expires-after"
VERSION_LABEL = "org.opencontainers.image.version"

Labels = Mapping[str, str]


NONEMPTY_BOOT = "nonempty-boot"
"""What bootc calls its own look at /boot: who skips that skips ours."""
_MODULES = "usr/lib/modules"
_UKIS = "boot/EFI/Linux"


def check_layout(root: Path, labels: Labels, skip: Collection[str] = ()) -> list[Check]:
    """Run every layout check on an unpacked image. `root` is its file tree, `labels` those of its config.

    `skip` are lints of bootc that are left out; of ours only `nonempty-boot` looks at the same thing.
    """
    tree = Tree(root)
    findings = {name: check(tree) for name, check in _TREE_CHECKS.items()}
    findings |= {name: check(labels) for name, check in _LABEL_CHECKS.items()}
    if NONEMPTY_BOOT in skip:
        del findings["empty-boot"]
    return [_check(name, finding or "") for name, finding in findings.items()]


def _check(name: str, finding: str) -> Check:
    shown = finding.encode(errors="backslashreplace").decode()  # a file's name may be no text
    return Check(name=f"layout/{name}", status=CheckStatus.FAILED if finding else CheckStatus.PASSED, reason=shown)


def _kernel(tree: Tree) -> str | None:
    kernels = _beside_modules(tree, "vmlinuz")
    whole = [entry for entry in kernels if entry.size]
    if _ukis(tree) and len(whole) <= 1:
        return None
    if bad := next((_bad_link(entry) for entry in kernels if _bad_link(entry)), None):
        return f"{bad}; expected the kernel itself"
    if len(whole) == 1:
        return None
    versions = [entry.name.parent.name for entry in whole]
    return f"found {_listed(versions)}; expected exactly one non-empty /{_MODULES}/*/vmlinuz, or a UKI in /{_UKIS}"


def _initramfs(tree: Tree) -> str | None:
    kernels = [entry for entry in _beside_modules(tree, "vmlinuz") if entry.size]
    if _ukis(tree) or not kernels:  # a UKI holds its own; without a kernel that is what has to be said
        return None
    version = kernels[0].name.parent
    found = tree.entry(f"{version}/initramfs.img")
    if found and _bad_link(found):
        return f"{_bad_link(found)}; expected the initramfs itself"
    if found and found.size:
        return None
    return f"found no non-empty /{version}/initramfs.img; expected one: bootc boots a kernel with its initramfs only"


def _beside_modules(tree: Tree, name: str) -> list[Entry]:
    folders = [folder.name for folder in tree.entries(_MODULES)]
    return [found for folder in folders if (found := tree.entry(f"{folder}/{name}"))]


def _ukis(tree: Tree) -> list[Entry]:
    return [entry for entry in tree.entries(_UKIS) if entry.name.suffix == ".efi" and entry.size]


def _bad_link(entry: Entry) -> str | None:
    if entry.dangling:
        return f"/{entry.name} is a link to {entry.link}, which is not in the image"
    return f"/{entry.name} is an absolute link to {entry.link}, which bootc does not follow" if entry.absolute else None


def _boot_is_empty(tree: Tree) -> str | None:
    if not tree.is_folder("boot"):
        return "found no folder /boot; expected an empty one: it is filled at installation"
    found = [entry.name.name for entry in tree.entries("boot") if entry.name.name != "EFI"]
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


def _host_keys(tree: Tree) -> str | None:
    names = [entry.name.name for entry in tree.entries("etc/ssh")]
    keys = [name for name in names if name.startswith("ssh_host_") and name.endswith("_key")]
    return f"found {_listed(keys)} in /etc/ssh; expected none: every machine would share them" if keys else None


def _authorized_keys(tree: Tree) -> str | None:
    users = [str(entry.name) for place in ("var/home", "home") for entry in tree.entries(place)]
    places = [f"{home}/.ssh/authorized_keys" for home in ("root", "var/roothome", *users)]
    found = [entry for place in places if (entry := tree.entry(place)) and (entry.size or entry.dangling)]
    named = [f"/{entry.name}" + (f" (a link to {entry.link})" if entry.dangling else "") for entry in found]
    return f"found {_listed(named)}; expected none: who holds the key could enter every machine" if named else None


def _machine_id(tree: Tree) -> str | None:
    found = tree.entry("etc/machine-id")
    if found and found.dangling:
        return f"{_bad_link(found)}; expected an empty file or none"
    content = found.read().strip() if found else ""
    return None if content in ("", "uninitialized") else "/etc/machine-id is set; expected it empty or absent"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


_TREE_CHECKS: dict[str, Callable[[Tree], str | None]] = {
    "one-kernel": _kernel,
    "initramfs": _initramfs,
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
