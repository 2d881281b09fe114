"""A user's repository, made for the rehearsal: real commits and tags of the sample OS."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rehearsal.lab import MODULE

_SAMPLE = ["Containerfile", "os", "tests/os", "tests/vm"]
_CONFIGURATION = """\
plain_http = ["registry:5500"]

[images.sample-os]
repository = "{repository}"
build_args = {{ BASE = "registry:5500/lab/tiny-os:bookworm" }}

[gates.next]
tests = "tests/os"

[gates.testing]
builder = {{ image = "registry:5500/lab/bootc-image-builder:latest" }}
bus = "nvme" # the tiny OS has no initramfs, and its kernel has this driver built in
memory = "768MiB"
services = ["sshd.service", "sample-os-greeting.service"]
listen = ["tcp/22", "udp/68"] # the second by the DHCP client
checks = "tests/vm"

[gates.stable.openqa]
url = "http://openqa:9526"
scenarios = "openqa/scenarios.yaml"
distri = "bootclab"
poll = "1s"

[gates.stable.upload]
url = "s3://os-images/candidates"
endpoint = "http://store:7500"
public_url = "http://store:7500/os-images/candidates"
"""


@dataclass(frozen=True)
class Repository:
    """A git checkout on its main branch."""

    path: Path
    image: str
    """The image repository, as the lab's containers name it."""

    @classmethod
    def create(cls, path: Path, image: str) -> "Repository":
        """The sample OS, configured for the lab, as a first commit."""
        path.mkdir(parents=True)
        for name in _SAMPLE:
            source = MODULE / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, _parent(path / name))
        (path / "pipeline.toml").write_text(_CONFIGURATION.format(repository=image))
        shutil.copy(MODULE / "ci/lab/openqa/scenarios.yaml", _parent(path / "openqa/scenarios.yaml"))
        repository = cls(path, image)
        repository.begin("The sample OS")
        return repository

    def begin(self, message: str = "A beginning") -> None:
        """What is there becomes the first commit."""
        self._git("init", "--quiet", "--initial-branch", "main")
        self.commit(message)

    def comes_from(self, address: str) -> None:
        """Name its place at a forge, as a clone does."""
        self._git("remote", "add", "origin", address)

    def changes(self) -> str:
        """What differs from the commit."""
        return self._git("status", "--porcelain")

    def write(self, name: str, text: str, *, executable: bool = False) -> None:
        """Change a file."""
        _parent(self.path / name).write_text(text)
        if executable:
            (self.path / name).chmod(0o755)

    def replace(self, name: str, old: str, new: str) -> None:
        """Change a piece of a file that must be there."""
        text = (self.path / name).read_text()
        assert old in text, f"{name} holds no {old!r}"
        self.write(name, text.replace(old, new))

    def copy(self, source: Path, name: str) -> None:
        """Lay a folder over one of the repository."""
        shutil.copytree(source, self.path / name, dirs_exist_ok=True)

    def commit(self, message: str, *, allow_empty: bool = False) -> str:
        """Commit everything; returns the commit."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message, *(["--allow-empty"] if allow_empty else []))
        return self.head()

    def revert(self) -> str:
        """Undo the last commit by another; returns the commit."""
        self._git("revert", "--no-edit", "HEAD")
        return self.head()

    def head(self) -> str:
        """The commit that is checked out."""
        return self._git("rev-parse", "HEAD")

    def check_out(self, what: str) -> None:
        """Go to a branch, or away from one."""
        self._git("checkout", "--quiet", what)

    def tag(self, name: str) -> None:
        """Put a tag on it."""
        self._git("tag", "--annotate", "--message", name, name)

    def _git(self, *arguments: str) -> str:
        who = ["-c", "user.name=Rehearsal", "-c", "user.email=rehearsal@example.org", "-c", "commit.gpgSign=false"]
        return subprocess.run(
            ["git", *who, *arguments], cwd=self.path, check=True, capture_output=True, text=True
        ).stdout.strip()


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
