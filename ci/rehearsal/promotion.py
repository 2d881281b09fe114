"""What moving tags costs beside bare `skopeo copy`: requests by purpose, and time. On a real registry, without engine.

The stages are the real ones; git and the gates are the stand-ins of tests/unit/promotion: what a gate does is not
counted. In front of the registry (Debian's, which like ghcr.io has no referrers API) is a proxy that counts.

*Needed* is what no implementation of DESIGN could leave out, for one image of one index of two platforms:

- skopeo's own requests, as often as tags are written;
- each tag that decides, once for each decision: before the gate, after it, right before it is written, and after that;
  the channel also before the ledger is written, which must not name a move that cannot be;
- what is immutable (the manifest and config of every platform), once;
- the list of tags, which has holds, withdrawals, evidence and versions: before the gate, before and after evidence is
  written, before and after the ledger's entry is, and after the channel has moved. Each list is two requests: one that
  ends is asked for what comes after its last tag, since some registries cut it;
- the evidence that the list names: that of the gate before, and that of this gate as the registry gives it back;
- for each artifact that is stored: its blobs (two requests each, the protocol has no shorter way), whether the empty
  config is there, the manifest;
- for whoever looks for what is attached: read, write and read back the list that stands for the referrers API.

What signing adds is counted apart, with a key in memory: how long cosign takes depends on the key, a KMS above all.
"""

import os
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import anyio

from pipeline.config import Image
from pipeline.domain import Commit, Digest, Repository, Tag
from pipeline.registry import media
from pipeline.registry.artifacts import index_of
from pipeline.registry.client import RegistryClient
from pipeline.registry.content import Descriptor, Manifest
from pipeline.trust.notary import Notary
from pipeline.trust.signers import Trust
from rehearsal.lab import MODULE
from rehearsal.tests import conftest

sys.path += [str(MODULE / "tests" / part) for part in ("contract", "unit/promotion")]

from faultproxy import FaultProxy
from jobs import Key
from scaffold import Bench, configured, outcome

servers = conftest("contract")

KEY = Key("bench")
COMMANDS = ("promote-testing", "promote-stable")
LAYER = 8 << 20
"""Bytes of each image's only layer."""

PURPOSES = {
    "copied by skopeo": r" skopeo/",
    "list of tags": r"/tags/list",
    "ledger: the entry": r"/manifests/pipeline-ledger",
    "is a prune running": r"pipeline-pruning",
    "evidence: read": r"GET \S+/manifests/pipeline-evidence",
    "evidence: attached, for others": r"/referrers/|/manifests/sha256-",
    "evidence, entry: stored": r"(PUT|POST|HEAD) ",
    "image: manifests, labels": r"GET \S+/(manifests/sha256:|blobs/)",
    "tags: what they name": r"GET \S+/manifests/",
}
"""By what the line of a request in the proxy's log looks like; the first that fits."""

_NEEDED = {
    "list of tags": 6 * 2,
    "ledger: the entry": 1,
    "is a prune running": 1,
    "evidence: read": 2,
    "evidence: attached, for others": 3,
    "evidence, entry: stored": 2 * 2 + 1 + 1 + 2,  # statement and report, empty config, manifest; the entry's blob
    "image: manifests, labels": 2 * 2,
}
NEEDED = {
    # :<commit>, :next and :stable; the version tag; the channel
    "promote-testing": _NEEDED | {"tags: what they name": 3 + 4 + 5},
    # the highest test tag and the one that would follow, before and after the gate; the version tag; the channel
    "promote-stable": _NEEDED | {"tags: what they name": 2 * 2 + 4 + 5},
}


@dataclass
class Counted:
    """One run: seconds, and requests by purpose."""

    seconds: float
    requests: Counter[str]


class Signed(Bench):
    """With `[trust]`, and one key for everything."""

    def notary(self) -> Notary:
        return Notary(
            Trust({name: [KEY.signer] for name in ("next", "testing", "stable", "ledger")}), KEY.sign, KEY.pen
        )


class Promotions:
    """A registry behind a counting proxy, and promotions in it."""

    def __init__(self, proxy: Any, skopeo: str):
        self.proxy = proxy
        self.skopeo = skopeo
        self.host = proxy.address

    async def copy(self, source: Repository, digest: Digest, target: Repository, tag: Tag | None) -> None:
        """`copy_by_digest` without its container, over plain HTTP."""
        options = ["--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"]
        references = [f"docker://{source.at(digest)}", f"docker://{target.tagged(tag) if tag else target.at(digest)}"]
        await anyio.run_process([self.skopeo, "copy", *options, *references])

    def bench(self, images: int, *, apart: bool = False, kind: type[Bench] = Bench) -> Bench:
        """One repository with pipeline.toml; a commit of it is built and tagged."""
        run = uuid4().hex[:8]
        names = (f"bench/{run}-{number}" for number in range(images))
        config = configured(*names, host=self.host, plain=True, apart=apart)
        bench = kind(config, self.copy, self._push, deadline=300)
        bench.git.tags |= dict.fromkeys(("v1.0.0", "v1.0.0-test"), bench.git.commit())
        return bench

    async def promoted(self, bench: Bench) -> dict[str, Counted]:
        """The whole way of a commit: what each promotion took."""
        passed(await bench.build_next())
        acts = (bench.promote_testing("v1.0.0-test"), bench.promote_stable("v1.0.0"))
        return {name: await self._counted(act) for name, act in zip(COMMANDS, acts, strict=True)}

    async def bare(self, bench: Bench, *tags: str, apart: bool = False) -> Counted:
        """`skopeo copy` from the digest behind `:next` to each tag, in another repository if `apart`."""
        source = bench.images[0].repository
        async with bench.world() as world:
            digest = await world.registry.repository(source).digest(Tag("next"))
        assert digest
        target = Repository(source.host, f"{source.path}-bare") if apart else source

        async def copies() -> None:
            for tag in tags:
                await self.copy(source, digest, target, Tag(tag))

        return await self._counted(copies())

    async def _counted(self, act: Awaitable[Any]) -> Counted:
        self.proxy.disarm()
        start = time.monotonic()
        results = await act
        seconds = time.monotonic() - start
        if results:
            passed(results)
        return Counted(seconds, Counter(map(purpose, self.proxy.log)))

    async def _push(self, image: Image, _commit: Commit, labels: dict[str, str]) -> Digest:
        """An index of two platforms, without a tag."""
        async with RegistryClient(plain_http={self.host}) as client:
            repo = client.repository(image.repository)
            listed = []
            for architecture in ("amd64", "arm64"):
                platform = {"os": "linux", "architecture": architecture}
                config = Manifest.of({"mediaType": "", **platform, "config": {"Labels": labels}}).raw
                parts = [
                    await repo.push_blob(config, "application/vnd.oci.image.config.v1+json"),
                    await repo.push_blob(os.urandom(LAYER), "application/vnd.oci.image.layer.v1.tar+gzip"),
                ]
                bare = [Descriptor(media_type=part.media_type, digest=part.digest, size=part.size) for part in parts]
                manifest = Manifest.of(
                    {
                        "schemaVersion": 2,
                        "mediaType": media.OCI_MANIFEST,
                        "config": bare[0].to_json(),
                        "layers": [bare[1].to_json()],
                    }
                )
                await repo.put_manifest(manifest, manifest.digest)
                listed.append(manifest.descriptor.to_json() | {"platform": platform})
            index = index_of(listed)
            await repo.put_manifest(index, index.digest)
            return index.digest


def purpose(line: str) -> str:
    """What a request in the proxy's log was for."""
    return next(name for name, pattern in PURPOSES.items() if re.search(pattern, line))


def passed(results: list[Any]) -> None:
    """Raise unless a command passed."""
    if outcome(results) != "passed":
        raise RuntimeError(results[0].reason)


async def measured(rounds: int, many: int) -> list[str]:
    """The tables, a line each."""
    async with surroundings() as here:
        await here.promoted(here.bench(1))  # whatever is slow the first time
        lines = await requests(here)
        for apart in (False, True):
            lines += ["", *await times(here, rounds, apart=apart)]
        return [*lines, "", *await signing(here, rounds), "", *await at_once(here, many)]


async def requests(here: Promotions) -> list[str]:
    """By purpose, beside what is needed."""
    bench = here.bench(1)
    found = await here.promoted(bench)
    bare = (await here.bare(bench, "bare")).requests.total()
    lines = [f"requests (a bare skopeo copy: {bare})".ljust(40) + "".join(f"{name:>17} needed" for name in COMMANDS)]
    needed = {name: NEEDED[name] | {"copied by skopeo": 2 * bare} for name in COMMANDS}
    for kind in PURPOSES:
        counts = "".join(f"{found[name].requests[kind]:>17} {needed[name][kind]:>6}" for name in COMMANDS)
        lines.append(f"{kind:<40}{counts}")
    totals = "".join(f"{found[name].requests.total():>17} {sum(needed[name].values()):>6}" for name in COMMANDS)
    return [*lines, f"{'all':<40}{totals}"]


async def times(here: Promotions, rounds: int, *, apart: bool) -> list[str]:
    """Of a promotion without its gate, beside the copies it makes: median seconds."""
    spent: dict[str, list[float]] = {}
    for _ in range(rounds):
        bench = here.bench(1, apart=apart)
        found = await here.promoted(bench)
        for name, tags in (("skopeo copy, one tag", ["one"]), ("skopeo copy, both tags", ["one", "two"])):
            fresh = here.bench(1)  # skopeo remembers where it has put a blob
            passed(await fresh.build_next())
            found[name] = await here.bare(fresh, *tags, apart=apart)
        for name, counted in found.items():
            spent.setdefault(name, []).append(counted.seconds)
    title = "releases in a repository of their own" if apart else "one repository"
    both = median(spent["skopeo copy, both tags"])
    return [f"{title}: seconds, and times the copies of both tags"] + [
        f"{name:<40}{median(seconds):>8.2f} s {median(seconds) / both:>6.2f}" for name, seconds in spent.items()
    ]


async def signing(here: Promotions, rounds: int) -> list[str]:
    """What evidence, entry and images that are signed add to one image of an index of two platforms."""
    plain = [await here.promoted(here.bench(1)) for _ in range(rounds)]
    signed = [await here.promoted(here.bench(1, kind=Signed)) for _ in range(rounds)]
    lines = ["signing adds, beside what cosign itself takes"]
    for name in COMMANDS:
        requests = [median(one[name].requests.total() for one in those) for those in (plain, signed)]
        seconds = [median(one[name].seconds for one in those) for those in (plain, signed)]
        more = f"{requests[1] - requests[0]:>8.0f} requests {seconds[1] - seconds[0]:>6.2f} s"
        lines.append(f"{name:<40}{more}, of {requests[1]:.0f} and {seconds[1]:.2f} s")
    return lines


async def at_once(here: Promotions, many: int) -> list[str]:
    """Many images in one command, and many commands of one image each in the same moment."""
    one = await here.promoted(here.bench(1))
    together = await here.promoted(here.bench(many))
    benches = [here.bench(1) for _ in range(many)]
    for bench in benches:
        passed(await bench.build_next())

    async def promote(bench: Bench) -> None:
        passed(await bench.promote_testing("v1.0.0-test"))

    start = time.monotonic()
    async with anyio.create_task_group() as group:
        for bench in benches:
            group.start_soon(promote, bench)
    apart = time.monotonic() - start
    lines = ["many at once: seconds, and times one image"]
    for name in COMMANDS:
        alone, all_of_them = one[name].seconds, together[name].seconds
        lines.append(f"{f'{name}, one image':<40}{alone:>8.2f} s")
        lines.append(f"{f'{name}, {many} images in one call':<40}{all_of_them:>8.2f} s {all_of_them / alone:>6.2f}")
    alone = one[COMMANDS[0]].seconds
    return [*lines, f"{f'{COMMANDS[0]}, {many} calls at once':<40}{apart:>8.2f} s {apart / alone:>6.2f}"]


@asynccontextmanager
async def surroundings() -> AsyncIterator[Promotions]:
    """Registry and proxy."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bootc-bench-")))
        stack.enter_context(working_in(folder))
        upstream = stack.enter_context(servers.docker_registry(folder))
        async with FaultProxy(upstream) as proxy:
            yield Promotions(proxy, servers.debian("skopeo"))


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Reports are made below the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
