"""Whole stages with images of any size, beside the same tools by hand.

The sample OS with ten layers of random data, and a second release of which one layer is new. Registry and object store
run on this machine and are reached directly: what passes through a tunnel of the CLI stays in its memory. Only openQA's
few small answers take one. *Network* is what crossed the engine's bridge, *disk* what its file system read and
wrote, and *left* how much more of it is in use, without what registry and store hold.
"""

import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import dagger
from anyio.to_thread import run_sync
from dagger import dag

from pipeline.lab.images import DISK_BUILDER, OLD, TINY_OS, disk_builder, tiny_os
from pipeline.lab.openqa import PORT, machine
from pipeline.lab.store import versitygw
from rehearsal import by_hand
from rehearsal.calls import Pipeline
from rehearsal.lab import MODULE, REGISTRY, STORE_AUTH, answers
from rehearsal.processes import processes
from rehearsal.repository import Repository
from rehearsal.tests import conftest

servers = conftest("contract")

_LAYERS = 10
_SMALL = 0.02
"""GB."""
_OFTEN = 0.2
"""Seconds between two looks at the processes."""
_SECTOR = 512
"""Bytes, in /sys/dev/block/*/stat."""
_BRIDGE = Path("/sys/class/net/dagger0/statistics")
_GB = 1e9
_RELEASES = (
    ("1.0.0", "first release"),
    ("1.1.0", "second, a tenth of it new"),
)


@dataclass
class _Cost:
    """Of one step; bytes but for the seconds."""

    seconds: float = 0.0
    network: int = 0
    read: int = 0
    written: int = 0
    left: int = 0
    stored: int = 0
    memory: dict[str, int] = field(default_factory=dict)
    """At most, of the largest process of each program."""

    def line(self, step: str) -> str:
        figures = (self.network, self.read, self.written, self.left, self.stored)
        largest = sorted(self.memory.items(), key=lambda item: -item[1])
        ours = [one for one in largest if one[0].startswith("pipeline")]
        others = [one for one in largest if one not in ours]
        words = ", ".join(f"{name} {size / 1e6:.0f}" for name, size in ours[:1] + others[:2])
        return f"{step:<42}{self.seconds:>6.0f} s" + "".join(f"{one / _GB:>8.2f}" for one in figures) + f"   {words}"


@dataclass(frozen=True)
class _Place:
    """Where the servers answer, as HOST:PORT of this machine, and openQA by its port."""

    registry: str
    store: str
    openqa: int
    folder: Path
    """What registry and store hold."""

    def stored(self) -> int:
        """Bytes that registry and store hold."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


class ScaleError(Exception):
    """A call that should have passed did not."""


async def measured(sizes: Sequence[float], logs: Path, say: Callable[[str], None], keep: str = "") -> None:
    """Two releases of an image of each size, in GB, a line for each command as soon as it has ended.

    `keep`: to how much (`8GB`) the engine's disk is emptied between two commands, of what was used longest ago: for
    sizes that leave more behind than there is room for. A small image goes through each command first, so that its
    tools are there, as on a machine that has the room.
    """
    titles = "".join(f"{name:>8}" for name in ("network", "read", "written", "left", "stored"))
    say(f"{'':<42}{'time':>8}{titles}   GB; memory at most, in MB: ours, others")
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="bootc-bench-", dir=os.environ.get("TMPDIR")) as folder:
            async with _servers(Path(folder), logs) as place:
                await _releases(size, place, Path(folder), logs, say, keep)


async def _releases(
    size: float, place: _Place, folder: Path, logs: Path, say: Callable[[str], None], keep: str
) -> None:
    measured = _Image("os", size, place, folder, logs)
    small = _Image("small", _SMALL, place, folder, logs) if keep else None
    for number, (version, words) in enumerate(_RELEASES):
        for image in filter(None, (measured, small)):
            image.change(number)
        for command in (
            ("build-next",),
            ("promote-testing", "--tag", f"v{version}-test"),
            ("promote-stable", "--tag", f"v{version}"),
        ):
            if small:
                await run_sync(_emptied, keep)
                await run_sync(small.call, command)
            with _measured(place) as cost:
                await run_sync(measured.call, command)
            say(cost.line(f"{size:g} GB, {words}: {command[0]}"))
            if command[0] == "promote-testing" and not number:
                await run_sync(_emptied, keep)
                with _measured(place) as cost:
                    bare = await by_hand.in_session(measured.repository, direct=True)
                cost.seconds = sum(bare.steps.values())
                say(cost.line("    the same tools by hand"))
                say("    " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in bare.steps.items()))


class _Image:
    """An image with its checkout, and the pipeline on it."""

    def __init__(self, name: str, size: float, place: _Place, folder: Path, logs: Path) -> None:
        self.repository = _repository(name, size, place, folder / name)
        self._pipeline = Pipeline(self.repository.path, logs, direct=place.openqa)
        self._called = f"{name}-{size:g}"

    def change(self, number: int) -> None:
        """The commit of the next release, but for the first."""
        if number:
            self.repository.replace("Containerfile", f"layer {_LAYERS}\n", f"layer {_LAYERS}, new\n")
            self.repository.commit("A tenth of it is new")

    def call(self, command: Sequence[str]) -> None:
        """Raises ScaleError unless it passes."""
        if len(command) > 1:
            self.repository.tag(command[-1])
        answer = self._pipeline.call(*command, log=f"{self._called}-{'-'.join(command).replace('--', '')}")
        if not answer.passed:
            raise ScaleError(f"{' '.join(command)} did not pass:\n{answer.output}")


def _emptied(keep: str) -> None:
    if not keep:
        return
    limits = ["--use-default-policy", f"--max-used-space={keep}", f"--target-space={keep}", "--reserved-space=0GB"]
    prune = ["dagger", "core", "engine", "local-cache", "prune", *limits]
    subprocess.run(prune, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _repository(name: str, size: float, place: _Place, path: Path) -> Repository:
    """The sample OS, heavier, configured for the servers."""
    repository = Repository.create(path, f"{place.registry}/scale/{name}")
    config = path / "pipeline.toml"
    localhost = f"localhost:{place.registry.rpartition(':')[2]}"
    text = config.read_text().replace(f"registry:{REGISTRY}/{DISK_BUILDER}", f"{localhost}/{DISK_BUILDER}")
    text = text.replace(f"registry:{REGISTRY}", place.registry).replace("store:7500", place.store)
    config.write_text(text.replace(f"openqa:{PORT}", f"openqa:{place.openqa}"))
    each = int(size * _GB / _LAYERS / 2**20)
    with (path / "Containerfile").open("a") as file:
        for number in range(1, _LAYERS + 1):
            ballast = f"dd if=/dev/urandom of=/usr/share/ballast-{number} bs=1M count={each} status=none"
            file.write(f"RUN {ballast} # layer {number}\n")
    repository.commit("Ballast")
    return repository


@asynccontextmanager
async def _servers(folder: Path, logs: Path) -> AsyncIterator[_Place]:
    """A registry with the lab's images, an object store, and an openQA that may fetch from it."""
    with ExitStack() as running, (logs / "servers.log").open("w") as log:
        held = folder / "held"
        (held / "registry").mkdir(parents=True)
        here = _address()
        bound = running.enter_context(servers.docker_registry(held / "registry", host="0.0.0.0"))
        registry = bound.replace("0.0.0.0", here)
        async with dagger.connection(dagger.Config(log_output=log)):
            files = dag.host().directory(str(MODULE / "ci/lab"))
            await disk_builder(files).publish(f"localhost:{registry.rpartition(':')[2]}/{DISK_BUILDER}")
            await tiny_os(files, OLD).export(str(folder / "tiny.oci"))
            _copied(folder / "tiny.oci", f"{registry}/{TINY_OS}:{OLD}")
            await versitygw().export(str(folder / "bin/versitygw"))
            s3, openqa = servers.free_port(), servers.free_port()
            running.enter_context(store(folder / "bin", held / "store", s3))
            service = (
                machine(files)
                .with_env_variable("OPENQA_DOWNLOAD_DOMAINS", here)
                .with_exposed_port(PORT)
                .as_service(args=["/openqa/start"])
            )
            tunnel = dag.host().tunnel(service, ports=[dagger.PortForward(backend=PORT, frontend=openqa)])
            await tunnel.start()
            yield _Place(registry, f"{here}:{s3}", openqa, held)
            await tunnel.stop()


@contextmanager
def store(program: Path, root: Path, port: int) -> Iterator[None]:
    """versitygw of the folder `program`, on all addresses of this machine; objects lie in `root`."""
    key, _, secret = STORE_AUTH.partition(":")
    environment = os.environ | {
        "PATH": f"{program}:{os.environ['PATH']}",
        "ROOT_ACCESS_KEY": key,
        "ROOT_SECRET_KEY": secret,
        "STORE_PORT": str(port),
        "STORE_ROOT": str(root),
    }
    process = subprocess.Popen(
        [MODULE / "ci/lab/store/start"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not answers(port):
            if process.poll() is not None:
                raise ScaleError(f"the object store ended with {process.returncode}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


def _address() -> str:
    """Under which containers reach this machine; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.254", 9))
        address: str = probe.getsockname()[0]
        return address


def _copied(archive: Path, target: str) -> None:
    command = [servers.debian("skopeo"), "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*command, f"oci-archive:{archive}", f"docker://{target}"], check=True, stdin=subprocess.DEVNULL)


@contextmanager
def _measured(place: _Place) -> Iterator[_Cost]:
    """What happens inside the block, on the whole machine: nothing else may run."""
    cost, over = _Cost(), threading.Event()
    looking = threading.Thread(target=_look, args=(cost.memory, over), daemon=True)
    started, network, disk, used, stored = time.monotonic(), _network(), _disk(), _used(), place.stored()
    looking.start()
    try:
        yield cost
    finally:
        over.set()
        looking.join()
        cost.seconds = time.monotonic() - started
        os.sync()
        cost.network = _network() - network
        cost.read, cost.written = (now - then for now, then in zip(_disk(), disk, strict=True))
        cost.stored = place.stored() - stored
        cost.left = _used() - used - cost.stored


def _look(memory: dict[str, int], over: threading.Event) -> None:
    host = str(Path("/proc/self/ns/pid").readlink())
    while not over.wait(_OFTEN):
        for process, namespace in processes():
            if namespace != host:
                with suppress(OSError, KeyError, IndexError):
                    name = _program((process / "cmdline").read_bytes().split(b"\0"))
                    memory[name] = max(memory.get(name, 0), _peak(process))


def _program(words: list[bytes]) -> str:
    if b"-m" in words and (name := words[words.index(b"-m") + 1]).startswith(b"pipeline"):
        return name.decode()
    if b"/runtime" in words[:3]:
        return "pipeline (module)"
    return Path(words[0].decode(errors="replace")).name


def _peak(process: Path) -> int:
    fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def _network() -> int:
    return sum(int((_BRIDGE / name).read_text()) for name in ("rx_bytes", "tx_bytes"))


def _disk() -> tuple[int, int]:
    device = Path(tempfile.gettempdir()).stat().st_dev
    fields = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
    return int(fields[2]) * _SECTOR, int(fields[6]) * _SECTOR


def _used() -> int:
    found = os.statvfs(tempfile.gettempdir())
    return (found.f_blocks - found.f_bfree) * found.f_frsize
