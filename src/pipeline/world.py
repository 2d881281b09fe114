"""Everything that a stage needs from outside, opened once and closed at the end."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import dagger
from anyio import to_thread
from dagger import dag

from pipeline import config as configuration
from pipeline.config import Config, Image
from pipeline.config import Signer as SignerTable
from pipeline.config import Trust as TrustTable
from pipeline.containers import machine
from pipeline.containers.base import Reach
from pipeline.containers.cosign import Hand, Signing
from pipeline.containers.git import History
from pipeline.containers.identity import sign_with_identity
from pipeline.containers.remembered import remembered
from pipeline.containers.secrets import read_secret
from pipeline.containers.skopeo import copy_by_digest
from pipeline.domain import Channel, Digest, Repository, Tag
from pipeline.errors import UsageError
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.credentials import Credentials, small_hosts
from pipeline.registry.retention.kept import Kept
from pipeline.trust.keyless import Identity, Sigstore
from pipeline.trust.keys import PublicKey
from pipeline.trust.notary import Notary
from pipeline.trust.signers import Accepted, Signer, Trust

Copy = Callable[[Repository, Digest, Repository, Tag | None], Awaitable[None]]
"""Source, digest, target, tag: see `copy_by_digest`."""


@dataclass(frozen=True)
class Given:
    """What the caller handed over: the constructor arguments of the Dagger module."""

    source: dagger.Directory
    registry_auth: dagger.Secret | None = None
    registry: dagger.Service | None = None
    openqa_auth: dagger.Secret | None = None
    openqa: dagger.Service | None = None
    upload_auth: dagger.Secret | None = None
    store: dagger.Service | None = None
    actor: str = ""
    signing_key: dagger.Secret | None = None
    signing_password: dagger.Secret | None = None
    signing_kms: str = ""
    signing_kms_auth: dagger.Secret | None = None
    identity_token: dagger.Secret | None = None
    trust_branch: str = ""
    notify: dagger.Secret | None = None
    jobs: int = 1
    """How many images may be built or booted side by side."""
    build_secrets: dict[str, dagger.Secret] = field(default_factory=dict)
    """By the id under which a Containerfile mounts them."""


@dataclass(frozen=True)
class Judge:
    """Where it was read whose signatures count."""

    branch: str = ""
    """The full name; empty for a history that has no main branch."""
    differs: bool = False
    """Whether the checked-out tree says something else, which does not count."""


@dataclass(frozen=True)
class World:
    """The configuration, the history, the registry and the way to the outside."""

    given: Given
    config: Config
    images: list[Image]
    history: History
    registry: RegistryClient
    reach: Reach
    copy: Copy
    """The only way in which a channel or version tag is written."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Where a host really answers, as `host:port`, when it is a Dagger service."""
    left: dict[str, Path] = field(default_factory=dict)
    """What the gates of this command left, by image: a folder of this container with logs and screenshots."""
    judge: Judge = Judge()
    free: Callable[[], Awaitable[int]] | None = None
    """Bytes that are free on the engine's disk; None where nobody asks."""
    remembered: Callable[[Repository], AbstractAsyncContextManager[Kept | None]] = lambda _: nullcontext()
    """What plans of retention have read of a repository."""
    at_end: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What clears away, when the command ends, what it left in the engine for its own use."""

    @property
    def notary(self) -> Notary:
        """Who signs what this command writes, and whose signatures count."""
        return self.registry.notary

    def repository(self, image: Image, channel: Channel = Channel.NEXT) -> RepositoryClient:
        """An image's part of the repository of a channel; candidates are gated in that of next and testing."""
        repository = self.registry.repository(image.home(channel)).under(image.prefix)
        repository.expect(image.tags.channel(channel))
        return repository

    async def gate_version(self, image: Image, gate: Channel) -> str:
        """What a gate asks of an image: evidence of another version does not count."""
        paths = self.config.paths_of(gate)
        trees = [await self.history.tree(path) for path in paths]
        return self.config.gate_version(gate, image, trees=trees)

    async def clear(self) -> None:
        """The command has ended, however: what cannot be cleared away changes nothing of its outcome."""
        for act in self.at_end:
            with suppress(Exception):
                await act()

    def address(self, url: str) -> str | None:
        """Where the host of a URL really answers; None when at its own name."""
        return self.addresses.get(urlsplit(url).netloc)


@asynccontextmanager
async def open_world(given: Given, images: list[str]) -> AsyncIterator[World]:
    """Read pipeline.toml, start the services that were handed over, log in to the registry.

    Raises UsageError for a missing or wrong pipeline.toml and for an unknown image.
    """
    config = await _configuration(given.source)
    selected = config.selected(images)
    services = _services(given, config, selected)
    addresses = {host: await _address(service) for host, service in services.items()}
    credentials, auth = None, given.registry_auth
    if auth:
        text = await read_secret(auth, "registry-auth")
        credentials = Credentials.parse(text)
        auth = auth if small_hosts(text) == text else dag.set_secret("registry-auth", small_hosts(text))
    reach = Reach(
        services={host.partition(":")[0]: service for host, service in services.items()},
        registry_auth=auth,
        plain_http=config.plain_http,
    )
    history = History.of(given.source)
    told, judge = await _told_whom_to_trust(history, config, given.trust_branch)
    sigstore = await _sigstore(history, told, judge.branch)
    notary = _notary(reach, given, told, sigstore, await _trust(history, told, judge.branch, sigstore))
    async with RegistryClient(
        credentials, plain_http=config.plain_http, addresses=addresses, promoted=config.is_promoted, notary=notary
    ) as registry:
        world = World(
            given=given,
            config=config,
            images=selected,
            history=history,
            judge=judge,
            registry=registry,
            reach=reach,
            copy=partial(copy_by_digest, reach),
            addresses=addresses,
            free=machine.free,
            remembered=partial(remembered, reach),
        )
        try:
            yield world
        finally:
            await world.clear()


async def _told_whom_to_trust(history: History, config: Config, named: str) -> tuple[TrustTable | None, Judge]:
    """`[trust]` of the main branch. UsageError when there is one to be feared that cannot be read."""
    branch = await history.main_branch(named, config.main_branch)
    if branch is None:
        if config.trust or await history.shallow():
            raise UsageError(
                "The source has no main branch, so nobody can tell whose signatures count: [trust] is read from there. "
                "Fetch it (actions/checkout: fetch-depth: 0), or name it with --trust-branch."
            )
        return None, Judge()
    text = await history.content(branch, configuration.FILE)
    told = configuration.parse_trust(text, f"{configuration.FILE} of {branch}") if text else None
    return told, Judge(branch, told != config.trust)


async def _trust(history: History, told: TrustTable | None, branch: str, sigstore: Sigstore) -> Trust:
    """The signers themselves; their keys come from the same branch."""
    signers = dict[str, list[Accepted]]()
    for name, those in (told.signers() if told else {}).items():
        signers[name] = [await _signer(history, name, one, branch, sigstore) for one in those]
    return Trust(signers)


async def _signer(history: History, name: str, one: SignerTable, branch: str, sigstore: Sigstore) -> Accepted:
    if one.key is None:
        return Identity(one.issuer or "", one.identity or "", sigstore)
    pem = await history.content(branch, one.key)
    try:
        if pem is None:
            raise ValueError("there is no such file")
        return Signer(one.key, PublicKey.parse(pem.encode()))
    except ValueError as error:
        raise UsageError(
            f"{configuration.FILE} of {branch}: trust.{name} names {one.key}: {error}. Commit the public key there, or "
            "correct the name."
        ) from error


async def _sigstore(history: History, told: TrustTable | None, branch: str) -> Sigstore:
    """The instance of Sigstore that the main branch names; the public one otherwise."""
    if told is None:
        return Sigstore()
    root = await history.content(branch, told.trusted_root) if told.trusted_root else ""
    if root is None:
        raise UsageError(f"{configuration.FILE} of {branch}: trust.trusted_root names {told.trusted_root}: commit it.")
    sigstore = Sigstore(root, told.fulcio, told.rekor)
    if any(one.identity for those in told.signers().values() for one in those):
        await to_thread.run_sync(getattr, sigstore, "verifier")  # asks the public instance for its newest root
    return sigstore


def _notary(reach: Reach, given: Given, told: TrustTable | None, sigstore: Sigstore, trust: Trust) -> Notary:
    """How this command signs, if it was given something to sign with, and whose signatures count."""
    if given.identity_token and not (given.signing_key or given.signing_kms):
        return Notary(trust, partial(sign_with_identity, sigstore, given.identity_token))
    if not given.signing_key and not given.signing_kms:
        return Notary(trust)
    signing = Signing(
        given.signing_key,
        given.signing_password,
        given.signing_kms,
        given.signing_kms_auth,
        image=(told and told.cosign) or "",
    )
    hand = Hand(reach, signing)
    return Notary(trust, hand.attest, hand.pen)


async def _configuration(source: dagger.Directory) -> Config:
    if configuration.FILE not in await source.entries():
        raise UsageError(_no_configuration(await source.glob(f"*/**/{configuration.FILE}")))
    return configuration.parse(await source.file(configuration.FILE).contents())


def _no_configuration(elsewhere: list[str]) -> str:
    """What to do about a source without pipeline.toml at its top."""
    missing = f"There is no {configuration.FILE} at the top of the source."
    if elsewhere:
        return (
            f"{missing} There is {', '.join(sorted(elsewhere)[:3])}: pass --source the folder that holds both the file "
            "and .git, or move the file to the top of the repository."
        )
    return (
        f"{missing} The source is the repository you stand in, or --source=PATH: stand in the one with the "
        "Containerfile, or pass its top folder. To begin there, two lines are enough:\n"
        '[images.NAME]\nrepository = "REGISTRY/OWNER/NAME"'
    )


def _services(given: Given, config: Config, images: list[Image]) -> dict[str, dagger.Service]:
    """The services that were handed over, by the host (with port) that the configuration names."""
    stable = config.gates.stable
    found: dict[str, dagger.Service] = {}
    if given.registry:
        found |= {image.repository.host: given.registry for image in images}
    if given.openqa and stable.openqa:
        found[urlsplit(stable.openqa.url).netloc] = given.openqa
    if given.store and stable.upload:
        found |= {
            urlsplit(url).netloc: given.store
            for url in (stable.upload.endpoint, stable.upload.public_url, stable.upload.url)
            if url and not url.startswith("s3://")
        }
    return found


async def _address(service: dagger.Service) -> str:
    """Start a service and say where this container reaches it."""
    started = await service.start()
    return await started.endpoint()
