"""Measures a plan over a big repository on a local docker-registry, and regctl over the same tags.

    PYTHONPATH=src python tests/bench/retention.py [--tags 10000] [--platforms 4] [--undated] [--regctl 200]

The registry's storage is written straight to disk: each tag is a commit with an index of its own. Prints one line of
JSON for each measurement: seconds, requests, peak resident memory in MiB (of the measured process alone).
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpx

from pipeline.domain import Repository
from pipeline.policy.retention import Rules
from pipeline.registry import media
from pipeline.registry.client import RegistryClient
from pipeline.registry.retention.oci import OciDriver
from pipeline.registry.retention.prune import prune

REGCTL = "github.com/regclient/regclient/cmd/regctl@v0.11.7"
NAME = "os/bench"
ARCHES = ["amd64", "arm64", "s390x", "ppc64le", "riscv64"]
NOW = datetime.now(UTC)


class Storage:
    """The filesystem layout of docker-registry (distribution: `registry/storage/paths.go`)."""

    def __init__(self, root: Path) -> None:
        self.root = root / "docker/registry/v2"
        self.repository = self.root / "repositories" / NAME

    def blob(self, data: bytes) -> dict[str, object]:
        hexes = hashlib.sha256(data).hexdigest()
        path = self.root / "blobs/sha256" / hexes[:2] / hexes / "data"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return {"digest": f"sha256:{hexes}", "size": len(data)}

    def config(self, data: bytes) -> dict[str, object]:
        found = self.blob(data)
        self._link(self.repository / "_layers/sha256" / str(found["digest"])[7:], found)
        return found | {"mediaType": "application/vnd.oci.image.config.v1+json"}

    def manifest(self, document: dict[str, object], tag: str | None = None) -> dict[str, object]:
        found = self.blob(json.dumps(document).encode())
        self._link(self.repository / "_manifests/revisions/sha256" / str(found["digest"])[7:], found)
        if tag:
            self._link(self.repository / "_manifests/tags" / tag / "current", found)
        return found | {"mediaType": document["mediaType"]}

    def _link(self, directory: Path, descriptor: dict[str, object]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "link").write_text(str(descriptor["digest"]))


def fill(storage: Storage, tags: int, platforms: int, dated: bool) -> int:
    """Write a repository with a build an hour; returns the number of manifests."""
    layers = [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": f"sha256:{n:064x}", "size": 50_000_000}
        for n in range(64)
    ]
    for number in range(tags):
        created = (NOW - timedelta(hours=number)).isoformat()
        children = []
        for arch in ARCHES[:platforms]:
            config = {"os": "linux", "architecture": arch, "created": created, "number": number}
            own = {"mediaType": layers[0]["mediaType"], "digest": _fake(f"{number}{arch}"), "size": 40_000_000}
            image = {
                "schemaVersion": 2,
                "mediaType": media.OCI_MANIFEST,
                "config": storage.config(json.dumps(config).encode()),
                "layers": [*layers[number % 8 : number % 8 + 5], own],
            }
            children.append(storage.manifest(image) | {"platform": {"os": "linux", "architecture": arch}})
        index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": children}
        if dated:
            index["annotations"] = {"org.opencontainers.image.created": created}
        commit = hashlib.sha1(str(number).encode()).hexdigest()
        for tag in [commit, "next"] if number == 0 else [commit, f"v1.{number}.0"] if number % 200 == 0 else [commit]:
            storage.manifest(index, tag)
    return tags * (platforms + 1)


def _fake(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def registry(directory: Path) -> Iterator[str]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    config = directory / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage:\n  filesystem: {{rootdirectory: {directory}}}\n  delete: {{enabled: true}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                httpx.get(f"http://{address}/v2/")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait()


def measure(address: str) -> None:
    """Plan, in this process."""

    async def plan() -> dict[str, object]:
        repository = Repository.parse(f"{address}/{NAME}")
        async with RegistryClient(plain_http={address}) as client:
            driver = OciDriver(client.repository(repository))
            rules = Rules(max_deletions=10**6, max_percent=100)
            report = await prune(client, repository, rules, confirm=False, now=datetime.now(UTC), driver=driver)
        return {"manifests": report.total, "may_go": len(report.planned), "requests": report.requests}

    started = time.monotonic()
    found = anyio.run(plan)
    seconds = round(time.monotonic() - started, 1)
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps({"what": "plan", "seconds": seconds, **found, "peak_mib": peak}), flush=True)


def regctl(address: str, sample: int) -> None:
    """List all tags, and inspect the first `sample` of them one by one."""
    binary = _compiled(REGCTL)
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "HOME": home}
        subprocess.run([binary, "registry", "set", "--tls", "disabled", address], check=True, env=env)
        repository = f"{address}/{NAME}"
        started = time.monotonic()
        listed = subprocess.run([binary, "tag", "ls", repository], check=True, env=env, capture_output=True, text=True)
        tags = listed.stdout.split()
        print(json.dumps({"what": "regctl tag ls", "seconds": round(time.monotonic() - started, 2), "tags": len(tags)}))
        started = time.monotonic()
        peaks = [
            _peak([binary, *command, f"{repository}:{tag}"], env)
            for tag in tags[:sample]
            for command in (["manifest", "get"], ["image", "inspect"])
        ]
        seconds = time.monotonic() - started
    print(
        json.dumps(
            {
                "what": f"regctl manifest get and image inspect, {sample} tags",
                "seconds": round(seconds, 1),
                "seconds_for_all_tags_at_this_rate": round(seconds / sample * len(tags)),
                "peak_mib": max(peaks),
            }
        )
    )


def _peak(command: list[str], env: dict[str, str]) -> int:
    """Run a command; its peak resident memory in MiB."""
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, command
    return round(used.ru_maxrss / 1024)


def _compiled(module: str) -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bootc-pipeline" / "bin"
    binary = cache / module.partition("@")[0].rpartition("/")[2]
    if not binary.exists():
        subprocess.run(["go", "install", module], check=True, env={**os.environ, "GOBIN": str(cache)})
    return str(binary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tags", type=int, default=10_000)
    parser.add_argument("--platforms", type=int, default=4)
    parser.add_argument("--undated", action="store_true", help="indexes without a date: the age is in each config")
    parser.add_argument("--regctl", type=int, default=0, metavar="SAMPLE", help="also regctl, on so many tags")
    parser.add_argument("--measure", metavar="ADDRESS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(given.measure)
        return
    directory = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        started = time.monotonic()
        manifests = fill(Storage(directory), given.tags, given.platforms, not given.undated)
        seconds = round(time.monotonic() - started, 1)
        print(json.dumps({"what": "fill", "seconds": seconds, "tags": given.tags, "manifests": manifests}), flush=True)
        with registry(directory) as address:
            subprocess.run([sys.executable, __file__, "--measure", address], check=True)
            if given.regctl:
                regctl(address, given.regctl)
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
