"""What a repository says about its images: its Containerfiles, its workflows, its disk configuration."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

_BUILD_FILE = re.compile(r"(Containerfile|Dockerfile)(\.(?P<flavor>[\w-]+))?")
_NOT_AN_IMAGE = {"in", "md", "bak", "orig", "dockerignore", "containerignore"}
_HOST = re.compile(
    r"(?:IMAGE_REGISTRY|REGISTRY|registry)\s*[:=]\s*[\"']?(?P<host>[a-z0-9-]+(?:(\.[a-z0-9-]+)+(:\d+)?|:\d+))"
)
"""With a dot or a port, as references name a registry; another word is a name of theirs."""
_OWNER = re.compile(r"(?:IMAGE_REGISTRY|REGISTRY)\s*[:=]\s*[\"']?[a-z0-9.:-]+/(?P<owner>[a-z0-9._/-]+)")
_NAME = re.compile(r"IMAGE_NAME\s*[:=]\s*[\"']?(?P<name>[a-z0-9][a-z0-9._-]*)[\"']?\s*$", re.MULTILINE)
_ORIGIN = re.compile(r"(?P<host>[\w.-]+)(:\d+)?[:/](?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(\.git)?/?$")
_ARM = re.compile(r"linux/arm64|ubuntu-[\d.]+-arm|\baarch64\b")
_ROOTFS = re.compile(r"(?:--rootfs[= ]|rootfs:\s*)[\"']?(?P<kind>ext4|xfs|btrfs)")
_PUSH = re.compile(r"\b(podman|docker|buildah|skopeo) (push|copy)\b|push-to-registry|build-push-action")
_ARG = re.compile(r"^ARG (?P<name>\w+)(?P<value>=)?", re.MULTILINE)
_SECRET = re.compile(r"--mount=type=secret,(?:\S*,)?id=(?P<name>[\w-]+)")
_GIVEN = re.compile(r"(TARGET|BUILD)(ARCH|OS|PLATFORM|VARIANT)|\w+_PROXY|\w+_proxy")
"""ARG names that the builder itself fills in."""
_RELEASE = re.compile(r"v(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class Seen:
    """The repository as it is."""

    paths: Sequence[str]
    """Every file of it."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """What stands in Containerfiles, workflows and actions."""
    origin: str = ""
    """The address of the git remote."""
    branch: str = ""
    """The branch that is checked out."""
    tags: Sequence[str] = ()
    ignored: str = ""
    """All of .gitignore."""

    @property
    def automation(self) -> dict[str, str]:
        """The workflows and actions that are there already."""
        return {path: text for path, text in self.texts.items() if path.startswith(".github/")}

    @property
    def project(self) -> tuple[str, str, str]:
        """Host, owner and name of the repository at its forge, in small letters; empty where there is no origin."""
        found = _ORIGIN.search(self.origin.lower())
        return (found["host"], found["owner"], found["name"]) if found else ("", "", "")


@dataclass(frozen=True)
class ImageSeen:
    """One Containerfile and what its image may be called."""

    name: str
    containerfile: str
    open_args: tuple[str, ...] = ()
    """ARG lines that have a value nowhere: who builds must give one."""
    secrets: tuple[str, ...] = ()
    """What its steps mount."""


def images(seen: Seen) -> list[ImageSeen]:
    """The images that its Containerfiles build: those at the top, else those that lie nearest to it."""
    found = [path for path in seen.paths if _flavor(path) is not None and "test" not in path.lower()]
    if not found:
        return []
    depth = min(path.count("/") for path in found)
    nearest = sorted(path for path in found if path.count("/") == depth)
    base = _called(seen)
    return [
        ImageSeen(
            _name(path, base if len(nearest) == 1 or depth == 0 else ""),
            path,
            _open_args(seen.texts.get(path, "")),
            tuple(dict.fromkeys(_SECRET.findall(seen.texts.get(path, "")))),
        )
        for path in nearest
    ]


def _open_args(containerfile: str) -> tuple[str, ...]:
    found = [(match["name"], match["value"]) for match in _ARG.finditer(containerfile)]
    valued = {name for name, value in found if value}
    return tuple(dict.fromkeys(name for name, _ in found if name not in valued and not _GIVEN.fullmatch(name)))


def registry(seen: Seen) -> tuple[str, str]:
    """Host and path under which images are pushed; the path is empty when nobody can know."""
    text = "\n".join(seen.automation.values())
    host, owner, _ = seen.project
    named, owned = _HOST.search(text), _OWNER.search(text)
    where = named["host"] if named else "ghcr.io" if host == "github.com" else ""
    return where, (owned["owner"].strip("/") if owned else owner)


def platforms(seen: Seen) -> list[str]:
    """Those that its workflows build for."""
    arm = any(_ARM.search(text) for text in seen.automation.values())
    return ["linux/amd64", "linux/arm64"] if arm else ["linux/amd64"]


def root_file_system(seen: Seen) -> str:
    """What the disk builder is told, if it is told."""
    found = [match["kind"] for text in seen.texts.values() if (match := _ROOTFS.search(text))]
    return found[0] if found else ""


def disk_configuration(seen: Seen) -> tuple[str, list[str]]:
    """The file for the qcow2 disk, and others of which nobody can know what they are for; those of ISOs are neither."""
    found = sorted(path for path in seen.paths if re.fullmatch(r"disk_config/[^/]+\.toml", path))
    usual = [path for path in found if PurePosixPath(path).stem in ("disk", "image", "qcow2")]
    others = [path for path in found if path not in usual[:1] and "iso" not in PurePosixPath(path).stem]
    return (usual[0] if usual else ""), others


def pushes(seen: Seen) -> list[str]:
    """Workflows that push images by themselves."""
    return sorted(path for path, text in seen.automation.items() if _PUSH.search(text))


def highest_release(seen: Seen) -> str:
    """The highest tag `vX.Y.Z`; empty without any."""
    found = [tag for tag in seen.tags if _RELEASE.fullmatch(tag)]
    return max(found, key=lambda tag: [int(part) for part in tag[1:].split(".")], default="")


def _called(seen: Seen) -> str:
    texts = [match["name"] for text in seen.automation.values() if (match := _NAME.search(text))]
    return texts[0] if texts else seen.project[2]


def _flavor(path: str) -> str | None:
    """What follows the usual name of a Containerfile; None for any other file."""
    found = _BUILD_FILE.fullmatch(PurePosixPath(path).name)
    flavor = (found["flavor"] or "") if found else None
    return None if flavor in _NOT_AN_IMAGE else flavor


def _name(path: str, base: str) -> str:
    flavor, folder = _flavor(path) or "", PurePosixPath(path).parent.name
    parts = [base or folder, flavor]
    return "-".join(part.lower() for part in parts if part) or "os"
