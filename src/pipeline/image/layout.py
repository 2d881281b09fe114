"""What the file tree of a bootc image must look like, whether or not `bootc container lint` is there to say so.

Sources: bootc documentation, "Bootable images" (kernel with its initramfs in /usr/lib/modules, empty /boot, label
containers.bootc) and "Filesystem" (/var is for the machine, /usr for the image); bootc's lint `nonempty-boot`, which
allows /boot/EFI, and its search for a kernel, which takes a unified kernel image (UKI) first; systemd machine-id(5).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.domain import Channel
from pipeline.image.tree import Entry, Tree
from pipeline.report.model import Check
from pipeline.vm.verdict import NONE, Found, Waivers, judge

BOOTC_LABEL = "containers.bootc"
EXPIRY_LABEL = "quay.expires-after"
VERSION_LABEL = "org.opencontainers.image.version"

Labels = Mapping[str, str]

NONEMPTY_BOOT = "nonempty-boot"
"""What bootc calls its own look at /boot: who skips that skips ours."""
_MODULES = "usr/lib/modules"
_UKIS = "boot/EFI/Linux"


def check_layout(root: Path, labels: Labels, skip: Collection[str] = (), waivers: Waivers = NONE) -> list[Check]:
    """Run every layout check on an unpacked image. `root` is its file tree, `labels` those of its config.

    `skip` are lints of bootc that are left out; of ours only `nonempty-boot` looks at the same thing.
    """
    tree = Tree(root)
    found = {name: check(tree) for name, check in _TREE_CHECKS.items()}
    found |= {name: check(labels) for name, check in _LABEL_CHECKS.items()}
    if NONEMPTY_BOOT in skip:
        del found["empty-boot"]
    return [judge((f"layout/{name}",), _as_text(one), waivers, frozenset()) for name, one in found.items()]


def _as_text(found: Found) -> Found:
    """A file's name may be no text."""
    return replace(found, findings=[one.encode(errors="backslashreplace").decode() for one in found.findings])


def _kernel(tree: Tree) -> Found:
    expected = f"exactly one non-empty /{_MODULES}/*/vmlinuz, or a UKI in /{_UKIS}"
    kernels = _beside_modules(tree, "vmlinuz")
    whole = [entry for entry in kernels if entry.size]
    if _ukis(tree) and len(whole) <= 1:
        return Found()
    if bad := [said for entry in kernels if (said := _bad_link(entry))]:
        return Found(bad, "the kernel itself")
    if len(whole) == 1:
        return Found()
    return Found([f"found {_listed(entry.name.parent.name for entry in whole)}"], expected)


def _initramfs(tree: Tree) -> Found:
    kernels = [entry for entry in _beside_modules(tree, "vmlinuz") if entry.size]
    if _ukis(tree) or not kernels:  # a UKI holds its own; without a kernel that is what has to be said
        return Found()
    version = kernels[0].name.parent
    found = tree.entry(f"{version}/initramfs.img")
    if found and (bad := _bad_link(found)):
        return Found([bad], "the initramfs itself")
    missing = [] if found and found.size else [f"found no non-empty /{version}/initramfs.img"]
    return Found(missing, "one: bootc boots a kernel with its initramfs only")


def _beside_modules(tree: Tree, name: str) -> list[Entry]:
    folders = [folder.name for folder in tree.entries(_MODULES) if not folder.link]  # as bootc, which follows none
    return [found for folder in folders if (found := tree.entry(f"{folder}/{name}"))]


def _ukis(tree: Tree) -> list[Entry]:
    return [entry for entry in tree.entries(_UKIS) if entry.name.suffix == ".efi" and entry.size]


def _bad_link(entry: Entry) -> str | None:
    if entry.dangling:
        return f"/{entry.name} is a link to {entry.link}, which is not in the image"
    return f"/{entry.name} is an absolute link to {entry.link}, which bootc does not follow" if entry.absolute else None


def _boot_is_empty(tree: Tree) -> Found:
    if not tree.is_folder("boot"):
        return Found(["found no folder /boot"], "an empty one: it is filled at installation")
    found = [entry.name.name for entry in tree.entries("boot") if entry.name.name != "EFI"]
    return Found([f"found {name} in /boot" for name in found], "it empty: it is filled at installation")


def _bootc_label(labels: Labels) -> Found:
    value = labels.get(BOOTC_LABEL)
    return Found([] if value == "1" else [f"label {BOOTC_LABEL} is {value!r}"], f"'1' (LABEL {BOOTC_LABEL}=1)")


def _expiry_label(labels: Labels) -> Found:
    value = labels.get(EXPIRY_LABEL)
    return Found([f"label {EXPIRY_LABEL}={value} would delete a released image"] if value else [], "no such label")


def _channel_label(labels: Labels) -> Found:
    baked = labels.get(VERSION_LABEL)
    named = baked in {channel.value for channel in Channel}
    said = f"label {VERSION_LABEL} is the channel name {baked!r}"
    return Found([said] if named else [], "none: an image moves through all of them unchanged")


def _host_keys(tree: Tree) -> Found:
    names = [entry.name.name for entry in tree.entries("etc/ssh")]
    keys = [name for name in names if name.startswith("ssh_host_") and name.endswith("_key")]
    return Found([f"found {key} in /etc/ssh" for key in keys], "none: every machine would share them")


def _authorized_keys(tree: Tree) -> Found:
    users = [str(entry.name) for place in ("var/home", "home") for entry in tree.entries(place)]
    homes = ("root", "var/roothome", *users)
    places = [f"{home}/.ssh/authorized_keys{number}" for home in homes for number in ("", "2")]  # sshd_config(5)
    found = [entry for place in places if (entry := tree.entry(place)) and (entry.size or entry.dangling)]
    named = [f"found /{entry.name}" + (f" (a link to {entry.link})" if entry.dangling else "") for entry in found]
    return Found(named, "none: who holds the key could enter every machine")


def _machine_id(tree: Tree) -> Found:
    expected = "it empty or absent"
    found = tree.entry("etc/machine-id")
    if found and found.dangling:
        return Found([_bad_link(found) or ""], expected)
    content = found.read().strip() if found else ""
    return Found([] if content in ("", "uninitialized") else ["/etc/machine-id is set"], expected)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


_TREE_CHECKS: dict[str, Callable[[Tree], Found]] = {
    "one-kernel": _kernel,
    "initramfs": _initramfs,
    "empty-boot": _boot_is_empty,
    "no-host-keys": _host_keys,
    "no-authorized-keys": _authorized_keys,
    "no-machine-id": _machine_id,
}

_LABEL_CHECKS: dict[str, Callable[[Labels], Found]] = {
    "bootc-label": _bootc_label,
    "no-expiry": _expiry_label,
    "no-channel-name": _channel_label,
}
