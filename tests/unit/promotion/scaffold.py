"""The real stages on any registry: git, image builds and gates are stand-ins, everything between them is not."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha1
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import anyio
import memory_registry

from pipeline.commands import rollback as taking_back
from pipeline.commands.anchor import anchor
from pipeline.commands.import_from import import_from
from pipeline.commands.plan import Outlook, plan
from pipeline.commands.prune import prune, restore
from pipeline.commands.verify import verify
from pipeline.config import Config, Image, parse
from pipeline.containers.base import Reach
from pipeline.containers.podman import Delivered, Recipe
from pipeline.domain import Channel, Commit, Digest, Outcome, Refresh, Repository, Tag
from pipeline.errors import GateFailed, PipelineError
from pipeline.gates.evidence import GateRun, Proof
from pipeline.gates.subject import Subject
from pipeline.image.assembly import Assembled
from pipeline.image.packages import FILE as PACKAGES
from pipeline.policy.tags import ReleaseTag
from pipeline.registry import ledger
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.evidence import DiskRecord
from pipeline.registry.retention import DriverKind
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.stages import next as building
from pipeline.stages import stable, testing
from pipeline.trust.notary import Notary, Sign
from pipeline.trust.signers import Trust
from pipeline.world import Copy, Given, World

Push = Callable[[Image, Tag, dict[str, str]], Awaitable[Digest | None]]
"""Of what was built for a candidate's tag; what it pushed, None when the registry in memory was given it last."""


_standing: ContextVar[Commit | None] = ContextVar("standing", default=None)


@dataclass
class Git:
    """One branch, and tags on it."""

    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, Commit] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    """Of tags."""
    checked_out: int = -1

    def commit(self) -> Commit:
        self.commits.append(Commit(sha1(str(len(self.commits)).encode()).hexdigest()))
        return self.commits[-1]

    @contextmanager
    def standing_at(self, tag: str) -> Iterator[None]:
        """As CI does: the commit of the tag is checked out, unless a test has said what is."""
        token = _standing.set(self.tags.get(tag) if self.checked_out == -1 else None)
        try:
            yield
        finally:
            _standing.reset(token)

    async def head(self) -> Commit:
        return _standing.get() or self.commits[self.checked_out]

    async def uncommitted(self) -> list[str]:
        return []

    async def on_branch(self, commit: Commit, branches: Sequence[str]) -> bool:
        return commit in self.commits

    async def is_ancestor(self, older: str, newer: str) -> bool:
        return self.commits.index(Commit(older)) <= self.commits.index(Commit(newer))

    async def knows(self, commit: str) -> bool:
        return commit in self.commits

    async def shallow(self) -> bool:
        return False

    async def branches(self) -> list[str]:
        return ["refs/heads/main"]

    async def pointers(self) -> list[str]:
        return []

    async def tree(self, path: str) -> str:
        return sha1(path.encode()).hexdigest()

    async def message_of_tag(self, tag: str) -> str | None:
        return self.messages.get(tag)

    async def commit_of_tag(self, tag: str) -> Commit | None:
        return self.tags.get(tag)

    async def count(self, older: str, newer: str) -> int | None:
        if older not in self.commits or newer not in self.commits:
            return None
        return self.commits.index(Commit(newer)) - self.commits.index(Commit(older))

    async def subjects(self, older: str, newer: str) -> list[str]:
        between = self.commits[self.commits.index(Commit(older)) + 1 : self.commits.index(Commit(newer)) + 1]
        return [f"{commit[:7]} What was done" for commit in reversed(between)]

    async def describe(self, commit: Commit) -> str:
        return commit[:12]

    async def origin(self) -> str:
        return "https://git.example.org/os"


@dataclass
class HandedOver:
    """What another job built, as a layout."""

    repository: Repository
    assembled: Assembled


@dataclass
class LocalImage:
    """Container storage with one image, built or pulled; `push` puts it into the registry."""

    bench: "Bench"
    name: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    handed_over: "HandedOver | None" = None
    assembled: Assembled | None = None

    async def pull(self, image: Image, digest: Digest, repository: Repository | None = None) -> "LocalImage":
        return self

    async def receive(self, delivered: Any) -> tuple["LocalImage", Assembled]:
        """The scaffold's layouts are images of the registry in memory, elsewhere."""
        (self.handed_over,) = delivered.layouts
        return self, self.handed_over.assembled

    async def lay_out(self, image: Image) -> tuple["LocalImage", Assembled]:
        """What a rechunker makes of the build."""
        self.bench.steps.append("lay out")
        if self.bench.rechunker_fails:
            raise GateFailed("rechunk of os: it ended with 1")
        labels = {name: text for name, text in self.labels.items() if name not in self.bench.rechunker_drops}
        layers = {name: [f"{name.split('/')[1]} {self.bench.rechunker_leaves}"] for name in image.platforms}
        of_all = dict.fromkeys(image.platforms, labels)
        told = Assembled(digest=memory_registry.sha256(b""), platforms={}, labels=of_all, layers=layers)
        return LocalImage(self.bench, self.name, labels, assembled=told), told

    async def take(self, image: Image) -> "LocalImage":
        self.bench.steps.append("take")
        return self

    async def remove(self, image: Image) -> None:
        self.bench.removed.append(self.name)

    async def layers(self, image: Image) -> dict[str, list[str]]:
        return self.assembled.layers if self.assembled else dict.fromkeys(image.platforms, self.bench.layers)

    async def build(self, image: Image, source: object, recipe: Recipe) -> "LocalImage":
        if self.bench.verdicts[Channel.NEXT] is Outcome.GATE_FAILED:
            raise GateFailed("it does not build")
        self.bench.recipes.append(recipe)
        self.bench.steps.append("build")
        return LocalImage(self.bench, self.name, dict(recipe.labels))

    async def gate(self, image: Image, gate: object, source: object, waivers: object) -> tuple[Result, "LocalImage"]:
        self.bench.steps.append("gate")
        return self.bench.found(Channel.NEXT), self

    async def export(self, folder: str) -> None:
        """What a report of the gate has besides."""
        if self.bench.packages:
            (Path(folder) / PACKAGES).write_text("\n".join(self.bench.packages))
        for name, text in self.bench.bills.items():
            (Path(folder) / name).write_text(text)

    async def push(self, image: Image) -> Digest:
        if self.handed_over:
            digest = self.handed_over.assembled.digest
            await self.bench.copy(self.handed_over.repository, digest, image.repository, None)
            return digest
        tag = Tag(self.name.rpartition(":")[2].rpartition("-")[0])
        return await self.bench.push(image, tag, self.labels) or memory_registry.pushed.get()


@dataclass
class Bench:
    """A repository with pipeline.toml, on some registry."""

    config: Config
    copy: Copy
    push: Push
    deadline: float = 20.0
    containerfile: str = "FROM scratch"
    secrets: dict[str, Any] = field(default_factory=dict)
    """What with-build-secret handed over."""
    recipes: list[Recipe] = field(default_factory=list)
    """What each build was told."""
    removed: list[str] = field(default_factory=list)
    """The local names that were taken out of container storage."""
    rechunker_fails: bool = False
    rechunker_leaves: str = "layers of this build"
    rechunker_drops: Sequence[str] = ()
    """The labels that are not on what it leaves."""
    steps: list[str] = field(default_factory=list)
    """What was done with images in container storage."""
    layers: list[str] = field(default_factory=lambda: ["of this build"])
    """Of the image that was built last."""
    git: Git = field(default_factory=Git)
    verdicts: dict[Channel, Outcome] = field(default_factory=lambda: dict.fromkeys(Channel, Outcome.PASSED))
    """What each gate says at its next run."""
    gate_runs: list[tuple[Channel, Outcome]] = field(default_factory=list)
    acknowledged: dict[tuple[str, Channel], list[Digest]] = field(default_factory=dict)
    """Every ledger entry of which a command was told that it is written."""
    long_ago: datetime | None = None
    """When the gates ran that run now."""
    gate_takes: float = 0.0
    """Seconds that the boot, and openQA, go on."""
    during_gate: Callable[[], Awaitable[None]] | None = None
    """What others do while a gate runs, which takes hours."""

    packages: Sequence[str] = ()
    """What is in the image that is built next, as `name version`."""
    bills: Mapping[str, str] = field(default_factory=dict)
    """Its bills of material, by the names of their files."""
    trust: Trust = field(default_factory=Trust)
    sign: Sign | None = None
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Where registries really answer, as RegistryClient takes them."""
    only: Sequence[str] = ()
    """The images that `--image` names."""

    store_disks: Callable[[World, Subject], Awaitable[dict[str, DiskRecord]]] | None = None
    """What the boot gate leaves in the registry."""

    @property
    def images(self) -> list[Image]:
        return list(self.config.images.values())

    # Commands: the results, or the error's outcome -------------------------------------------------------------------

    def storage(self, reach: Reach, volume: str, name: str) -> Any:
        return LocalImage(self, name)

    async def build_next(self, refresh: Refresh = Refresh.NONE) -> list[Result]:
        with self.git.standing_at(""):
            return await self._run(lambda world: building.build_next(world, refresh=refresh, storage=self.storage))

    async def submit_next(self, *references: str, layouts: Sequence[HandedOver] = (), commit: str = "") -> list[Result]:
        delivered: Any = Delivered(references, layouts=layouts)  # type: ignore[arg-type]
        with self.git.standing_at(""):
            return await self._run(lambda world: building.submit_next(world, delivered, commit, storage=self.storage))

    async def plan(self, tag: str, **told: Any) -> Sequence[Outlook]:
        async with self.world() as world:
            return await plan(world, tag, **told)

    async def promote_testing(self, tag: str, **told: Any) -> list[Result]:
        with self.git.standing_at(tag):
            return await self._run(lambda world: testing.promote_testing(world, tag, gate=self._boot, **told))

    async def promote_stable(self, tag: str, **told: bool) -> list[Result]:
        with self.git.standing_at(tag):
            return await self._run(lambda world: stable.promote_stable(world, tag, gate=self._openqa, **told))

    async def rollback(self, channel: Channel, to: str = "") -> list[Result]:
        return await self._run(lambda world: taking_back.rollback(world, channel, to, "it is broken"))

    async def hold(self, channel: Channel, reason: str = "wait") -> list[Result]:
        return await self._run(lambda world: taking_back.hold(world, channel, reason))

    async def record_loss(self, channel: Channel) -> list[Result]:
        return await self._run(lambda world: taking_back.record_loss(world, channel, "a copy left them behind"))

    async def import_from(self, *repositories: str) -> list[Result]:
        return await self._run(lambda world: import_from(world, *repositories))

    async def release_hold(self, channel: Channel, *holds: str) -> list[Result]:
        return await self._run(lambda world: taking_back.release_hold(world, channel, "go on", holds))

    async def gate_testing(self, reference: str) -> list[Result]:
        """Report and disks are kept beside the image, and nothing is promoted."""

        async def run(world: World) -> list[Result]:
            return [one.result for one in await testing.gate_testing(world, reference, keep=True, gate=self._boot)]

        with self.git.standing_at(reference):
            return await self._run(run)

    async def prune(self) -> list[Result]:
        """The report of each repository, as a result."""

        async def run(world: World) -> list[Result]:
            pruned = await prune(world, confirm=True, driver=DriverKind.OCI, token=None)
            return [
                Result(command="prune", outcome=report.outcome, reason=report.reason)
                for one in pruned
                for report in one.repositories
            ]

        return await self._run(run)

    async def restore(self, tag: str) -> list[Result]:
        async def run(world: World) -> list[Result]:
            return [Result(command="restore", outcome=Outcome.PASSED, reason=await restore(world, tag))]

        return await self._run(run)

    async def anchor(self, *channels: Channel) -> str:
        """As a job keeps it: in the tag `anchor`."""
        async with self.world() as world:
            self.git.messages["anchor"] = await anchor(world, channels or list(Channel))
        return self.git.messages["anchor"]

    async def verify(self, *anchors: str) -> list[Result]:
        return await self._run(lambda world: verify(world, list(Channel), anchors))

    async def _run(self, command: Callable[[World], Awaitable[list[Result]]]) -> list[Result]:
        async with self.world() as world:
            try:
                return await command(world)
            except PipelineError as error:
                return [Result(command="", outcome=error.outcome, reason=str(error))]
            except BaseExceptionGroup as group:  # the process is killed, whatever else it has under way
                error: BaseException = group
                while isinstance(error, BaseExceptionGroup):
                    error = error.exceptions[0]
                raise error from None

    def notary(self) -> Notary:
        return Notary(self.trust, self.sign)

    @asynccontextmanager
    async def world(self) -> AsyncIterator[World]:
        plain = frozenset(self.config.plain_http)
        told: Any = {"addresses": self.addresses, "deadline": self.deadline, "notary": self.notary()}
        async with RegistryClient(plain_http=plain, **told) as registry:
            source: Any = Source(self.containerfile)
            history: Any = self.git
            given = Given(source=source, actor="alice", build_secrets=self.secrets)
            images = self.config.selected(list(self.only))
            world = World(given, self.config, images, history, registry, Reach(), self.copy)
            try:
                yield world
            finally:
                await world.clear()

    # Gates -----------------------------------------------------------------------------------------------------------

    def found(self, gate: Channel) -> Result:
        outcome = self.verdicts[gate]
        self.gate_runs.append((gate, outcome))
        status = {Outcome.PASSED: CheckStatus.PASSED, Outcome.INFRA: CheckStatus.INFRA}.get(outcome, CheckStatus.FAILED)
        check = Check(name="all", status=status, reason=f"the {gate} gate says {outcome}")
        started = {"started": self.long_ago} if self.long_ago else {}
        return Result(command=f"gate-{gate}", outcome=outcome, reason=check.reason, checks=[check], **started)

    async def _gate(self, gate: Channel, subject: Subject) -> GateRun:
        await anyio.sleep(self.gate_takes)
        if self.during_gate:
            act, self.during_gate = self.during_gate, None
            await act()
        told = {
            "image": subject.image.name,
            "repository": str(subject.image.repository),
            "digest": subject.candidate.digest,
            "commit": subject.candidate.commit,
        }
        return GateRun(self.found(gate).model_copy(update=told), Path(mkdtemp(dir=Path.cwd())))

    async def _boot(self, world: World, subject: Subject) -> tuple[GateRun, dict[str, DiskRecord]]:
        disks = await self.store_disks(world, subject) if self.store_disks else {}
        return await self._gate(Channel.TESTING, subject), disks

    async def _openqa(self, world: World, subject: Subject, tag: ReleaseTag, tested: Proof) -> GateRun:
        return await self._gate(Channel.STABLE, subject)

    # What the ledger acknowledged -------------------------------------------------------------------------------------

    def listening(self, append: Callable[..., Awaitable[ledger.Record]]) -> Callable[..., Awaitable[ledger.Record]]:
        """`ledger.append`, with an ear on its answers."""

        async def heard(repo: RepositoryClient, entry: ledger.Entry) -> ledger.Record:
            written = await append(repo, entry)
            self.acknowledged.setdefault((repo.repository.path, entry.channel), []).append(written.digest)
            return written

        return heard


@dataclass
class Source:
    """The user's files: whatever is named is there, and all of them have the text of a Containerfile."""

    text: str = ""

    def directory(self, path: str) -> "Source":
        return self

    async def exists(self, path: str) -> bool:
        return True

    def file(self, path: str) -> "Source":
        return self

    async def contents(self) -> str:
        return self.text


def configured(
    *names: str,
    host: str,
    plain: bool = False,
    apart: bool = False,
    stable_host: str = "",
    platforms: Sequence[str] = ("linux/amd64", "linux/arm64"),
    aliases: Sequence[str] = (),
) -> Config:
    """A configuration with these images below `host`; `apart` with releases in repositories of their own.

    `stable_host`: where those are, when in another registry. `aliases`: what follows stable.
    """
    images = "".join(
        f'[images.{name.replace("/", "-")}]\nrepository = "{host}/{name}"\nplatforms = {list(platforms)}\n'
        + f"aliases.stable = {list(aliases)}\n"
        + (f'stable_repository = "{stable_host or host}/{name}-stable"\n' if apart else "")
        for name in names
    )
    hosts = [host, stable_host] if stable_host else [host]
    return parse((f"plain_http = {hosts}\n" if plain else "") + images)


def outcome(results: list[Result]) -> Outcome:
    """The worst of several images."""
    return max((result.outcome for result in results), key=lambda one: one.exit_code)
