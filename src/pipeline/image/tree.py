"""The file tree of an image, looked at from outside: its links lead where they would lead in the image.

A link is never followed out of the tree, whatever it says, and one that leads nowhere is a finding, not a crash.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_ISDIR, S_ISREG

_LINKS = 40
"""Linux follows so many in one path (path_resolution(7))."""


@dataclass(frozen=True)
class Entry:
    """Something in the tree, by its name in the image."""

    name: PurePosixPath
    """Relative to the root."""
    real: Path | None
    """Where its content is on this machine, links followed; None for a link that leads nowhere in the image."""
    link: str = ""
    """What it says, when it is a link itself."""

    @property
    def size(self) -> int:
        """Bytes of a file; 0 for anything else."""
        mode = self.real.lstat() if self.real else None
        return mode.st_size if mode and S_ISREG(mode.st_mode) else 0

    @property
    def dangling(self) -> bool:
        """Whether it is a link, or stands behind one, that leads nowhere in the image."""
        return self.real is None

    @property
    def absolute(self) -> bool:
        """Whether it is a link that begins at the root: bootc, which looks at the tree from outside, refuses it."""
        return self.link.startswith("/")

    def read(self, limit: int = 64 * 1024) -> str:
        """The beginning of its text, empty when it has none."""
        if not self.size or self.real is None:
            return ""
        with self.real.open("rb") as file:
            return file.read(limit).decode(errors="replace")


@dataclass(frozen=True)
class Tree:
    """An unpacked image."""

    root: Path

    def entry(self, name: str) -> Entry | None:
        """What stands under this name; None when nothing does. The last part may be a link that leads nowhere."""
        path = PurePosixPath(name)
        folder = self._resolved(path.parent)
        if folder is None or not (place := folder / path.name).is_symlink():
            return Entry(path, place) if folder and _exists(place) else None
        return Entry(path, self._resolved(path), str(place.readlink()))

    def entries(self, folder: str) -> list[Entry]:
        """What a folder holds, by name; nothing when it is none."""
        place = self._resolved(PurePosixPath(folder))
        names = sorted(child.name for child in place.iterdir()) if place and _is_folder(place) else []
        return [found for name in names if (found := self.entry(f"{folder}/{name}"))]

    def is_folder(self, name: str) -> bool:
        """Whether there is a folder, or a link to one."""
        place = self._resolved(PurePosixPath(name))
        return place is not None and _is_folder(place)

    def _resolved(self, path: PurePosixPath) -> Path | None:
        """Where a path leads, as the kernel would walk it with this root (chroot(2)); None when it leads nowhere."""
        left, walked, links = list(reversed(path.parts)), list[str](), 0
        while left:
            part = left.pop()
            if part == "..":
                del walked[-1:]
            elif part not in (".", "/"):
                place = self.root.joinpath(*walked, part)
                if place.is_symlink():
                    links += 1
                    target = PurePosixPath(str(place.readlink()))
                    walked = [] if target.is_absolute() else walked
                    left += reversed(target.parts)
                elif not _exists(place):
                    return None
                else:
                    walked.append(part)
            if links > _LINKS:
                return None
        return self.root.joinpath(*walked)


def _exists(place: Path) -> bool:
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _is_folder(place: Path) -> bool:
    return S_ISDIR(place.lstat().st_mode)
