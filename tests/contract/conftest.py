"""Real registries for the contract tests: Debian's docker-registry (2.8), distribution 3, and crane's, which has the
referrers API. Zot would be a fourth; neither Debian nor the Go module proxy has it.
"""

import fcntl
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import dagger
import httpx
import pytest

CRANE = "github.com/google/go-containerregistry/cmd/crane@v0.22.1"
BINARIES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bootc-pipeline" / "bin"
USER, PASSWORD = "releaser", "canary-registry-password"
HTPASSWD = f"{USER}:$2b$04$F5wZH4ZixHwIUJOueL1mRuktxkHluL/.MGI8CvyO8joDLdw/9etci\n"  # bcrypt of PASSWORD


@pytest.fixture(scope="session")
async def engine(anyio_backend: str) -> AsyncIterator[None]:
    """One session with the Dagger engine, for servers that run in its containers."""
    with tempfile.TemporaryFile("w") as log:
        async with dagger.connection(dagger.Config(log_output=log)):
            yield


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a docker-registry (2.8: no referrers API), deleting enabled, plain HTTP."""
    with docker_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="session")
def guarded_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same behind basic authentication: `registry_login`."""
    directory = tmp_path_factory.mktemp("guarded")
    (directory / "htpasswd").write_text(HTPASSWD)
    auth = f"auth:\n  htpasswd:\n    realm: lab\n    path: {directory}/htpasswd\n"
    with docker_registry(directory, auth) as address:
        yield address


@pytest.fixture(scope="session")
def registry_login() -> tuple[str, str]:
    """User and password of `guarded_registry`."""
    return USER, PASSWORD


@pytest.fixture(scope="session")
def crane_registry() -> Iterator[str]:
    """host:port of crane's registry: referrers API, no deleting by tag, in memory."""
    address = f"127.0.0.1:{free_port()}"
    with running(
        [str(compiled("crane", "install", CRANE)), "registry", "serve", "--address", address], address
    ) as ready:
        yield ready


@pytest.fixture(scope="session")
def distribution() -> str:
    """The server of distribution 3, which deletes a tag alone."""
    return str(built(Path(__file__).with_name("distribution")))


@pytest.fixture(scope="session")
def distribution_registry(distribution: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a distribution 3, otherwise like `registry`."""
    with docker_registry(tmp_path_factory.mktemp("distribution"), binary=distribution) as address:
        yield address


@pytest.fixture(params=["registry", "distribution_registry", "crane_registry"])
def any_registry(request: pytest.FixtureRequest) -> str:
    """Each kind of registry in turn."""
    address: str = request.getfixturevalue(request.param)
    return address


@pytest.fixture(scope="session")
def start_registry() -> Callable[[Path, str, str], AbstractContextManager[str]]:
    """Starts a registry of one's own: a folder, the `auth` part of its configuration, the server (docker-registry)."""
    return docker_registry


@pytest.fixture(scope="session")
def faultproxy() -> ModuleType:
    """The module beside this file: tests are no package."""
    return loaded("faultproxy")


def loaded(name: str) -> ModuleType:
    """A module beside this file."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec
        assert spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@contextmanager
def docker_registry(directory: Path, auth: str = "", binary: str = "", host: str = "127.0.0.1") -> Iterator[str]:
    """A docker-registry, or another `binary` of that family, that stores below `directory`."""
    address = f"{host}:{free_port()}"
    config = directory / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage:\n  filesystem: {{rootdirectory: {directory}/data}}\n  delete: {{enabled: true}}\n"
        f"http: {{addr: '{address}'}}\n{auth}"
    )
    with running([binary or debian("docker-registry"), "serve", str(config)], address) as ready:
        yield ready


@contextmanager
def running(command: list[str], address: str) -> Iterator[str]:
    """Run a registry until the block ends; enters when it answers."""
    # a file, since a pipe that nobody reads stops the registry when it is full
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        try:
            until = time.monotonic() + 30
            while True:
                try:
                    httpx.get(f"http://{address}/v2/")
                    break
                except httpx.TransportError:
                    if process.poll() is not None or time.monotonic() > until:
                        said.seek(0)
                        raise RuntimeError(f"{command[0]} did not start: {said.read()}") from None
                    time.sleep(0.02)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=10)


@pytest.fixture(scope="session")
def sigstore_program() -> Path:
    """Fulcio, Rekor and what they store in, by name: see its main.go. Compiling it takes minutes."""
    return built(Path(__file__).with_name("sigstore"))


@pytest.fixture(scope="session")
def port() -> Callable[[], int]:
    """Finds one that is free."""
    return free_port


@pytest.fixture(scope="session")
def skopeo() -> str:
    """The command that promotes."""
    return debian("skopeo")


def debian(command: str) -> str:
    """A command of Debian's package of the same name, installed where it is not there (ci/engine brings them too)."""
    if not shutil.which(command):
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        subprocess.run(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", command], check=True)
    return command


def compiled(name: str, *command: str) -> Path:
    """What a command of Go leaves under that name, compiled once for the machine."""
    BINARIES.mkdir(parents=True, exist_ok=True)
    binary = BINARIES / name
    with (BINARIES / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            subprocess.run(["go", *command], check=True, env={**os.environ, "GOBIN": str(BINARIES)})
    return binary


def built(folder: Path) -> Path:
    """The program of a Go module of ours, compiled once for what its files say."""
    said = sha256(b"".join(file.read_bytes() for file in sorted(folder.iterdir()))).hexdigest()
    name = f"{folder.name}-{said[:12]}"
    return compiled(name, "-C", str(folder), "build", "-trimpath", "-ldflags=-s -w", "-o", str(BINARIES / name))


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
