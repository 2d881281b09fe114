"""Machines with the policy that `policy` prints take what was released, and nothing else: real podman and skopeo."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

import dagger
import pytest
from dagger import dag
from lab_image import push
from scaffold import Bench, configured, outcome

from pipeline.commands.policy import policy
from pipeline.containers.base import Reach, debian
from pipeline.containers.cosign import Hand, Signing
from pipeline.containers.execution import Ran, attempt
from pipeline.containers.podman import toolbox
from pipeline.containers.skopeo import copy_by_digest
from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.trust.keys import PublicKey
from pipeline.trust.notary import Notary
from pipeline.trust.signers import Signer, Trust

HOST = "registry.local:5000"
PASSWORD = "canary-signing-password"
PLAIN = ("--allow-http-registry", "--allow-insecure-registry")
OFFLINE = ("--tlog-upload=false", "--yes", *PLAIN)


@dataclass
class Pair:
    """What `cosign generate-key-pair` wrote."""

    private: str
    public: str


@dataclass
class Job:
    """Something that releases, with its key."""

    pair: Pair
    hand: Hand
    signer: Signer


@dataclass
class Shop(Bench):
    """A registry that the machines, the jobs and a stranger reach by the same name."""

    reach: Reach = field(default_factory=Reach)
    jobs: dict[str, Job] = field(default_factory=dict)
    job: str = ""

    def notary(self) -> Notary:
        hand = self.jobs[self.job].hand if self.job else None
        return Notary(self.trust, hand and hand.attest, hand and hand.pen)

    async def candidate(self, version: str) -> Digest:
        """Everything up to testing."""
        self.git.tags |= dict.fromkeys((version, f"{version}-test"), self.git.commit())
        self.job = "next"
        (told,) = await self.build_next()
        assert told.digest
        self.job = "testing"
        assert outcome(await self.promote_testing(f"{version}-test")) == Outcome.PASSED
        return told.digest

    async def release(self, version: str) -> Digest:
        digest = await self.candidate(version)
        self.job = "stable"
        assert outcome(await self.promote_stable(version)) == Outcome.PASSED
        return digest

    @property
    def home(self) -> Repository:
        return self.images[0].home(Channel.STABLE)

    async def machine(self) -> dagger.Container:
        """podman and skopeo, with the printed policy and nothing of ours."""
        container = self.reach.registries(toolbox())
        async with self.world() as world:
            for path, content in policy(world, Channel.STABLE).items():
                container = container.with_new_file(f"/{path}", content)
        return container.with_env_variable("ASKED", uuid4().hex)

    async def skopeo(self, reference: str, *options: str) -> Ran:
        command = ["skopeo", "copy", *options, f"docker://{reference}", "dir:/out"]
        return await attempt(await self.machine(), command)

    async def podman(self, reference: str) -> Ran:
        command = ["podman", "--root=/dev/shm/root", "--runroot=/dev/shm/run", "--storage-driver=vfs", "pull"]
        return await attempt(await self.machine(), [*command, reference], privileged=True)

    async def taken(self, tag: str) -> bool:
        """Whether podman and skopeo take what a tag names, which they have to agree about."""
        pulled, copied = await self.podman(self.home.tagged(Tag(tag))), await self.skopeo(self.home.tagged(Tag(tag)))
        assert bool(pulled.code) == bool(copied.code), pulled.said + copied.said
        assert not pulled.code or "ignature" in pulled.said + copied.said, pulled.said
        return not pulled.code


async def keys(name: str) -> Pair:
    made = (
        debian("cosign", "ca-certificates")
        .with_workdir("/keys")
        .with_env_variable("COSIGN_PASSWORD", PASSWORD)
        .with_env_variable("OF", f"{name} {uuid4().hex}")
        .with_exec(["cosign", "generate-key-pair"])
    )
    return Pair(await made.file("cosign.key").contents(), await made.file("cosign.pub").contents())


async def job(reach: Reach, name: str) -> Job:
    pair = await keys(name)
    hand = Hand(reach, Signing(dag.set_secret(name, pair.private), dag.set_secret(f"{name} password", PASSWORD)))
    return Job(pair, hand, Signer(f"keys/{name}.pub", PublicKey.parse(pair.public.encode())))


def with_cosign(reach: Reach, pair: Pair) -> dagger.Container:
    """cosign with a key pair, and nothing of ours."""
    container = reach.outside(debian("cosign", "ca-certificates")).with_env_variable("COSIGN_PASSWORD", PASSWORD)
    files = dag.directory().with_new_file("cosign.key", pair.private).with_new_file("cosign.pub", pair.public)
    return container.with_directory("/keys", files).with_env_variable("ASKED", uuid4().hex)


@pytest.fixture(params=["registry", pytest.param("crane_registry", marks=pytest.mark.thorough)])
async def shop(request: pytest.FixtureRequest, engine: None) -> Callable[..., Shop]:
    """Makes one: `apart` with releases in a repository of their own."""
    address = request.getfixturevalue(request.param)
    service = dag.host().service([dagger.PortForward(backend=int(address.rpartition(":")[2]), frontend=5000)])
    reach = Reach({HOST.partition(":")[0]: service}, plain_http=(HOST,))
    jobs = {name: await job(reach, name) for name in ("next", "testing", "stable", "people")}
    signers = {name: [one.signer] for name, one in jobs.items() if name != "people"} | {
        "ledger": [jobs["people"].signer]
    }

    def made(*, apart: bool = False) -> Shop:
        config = configured(f"test/{uuid4().hex}", host=HOST, plain=True, apart=apart)
        shop = Shop(config, partial(copy_by_digest, reach), partial(push, addresses={HOST: address}))
        shop.reach, shop.jobs, shop.addresses, shop.trust = reach, jobs, {HOST: address}, Trust(signers)
        return shop

    return made


async def test_machines_refuse_a_channel_that_no_release_moved(shop: Callable[..., Shop]) -> None:
    lab = shop()
    first = await lab.release("v1.0.0")
    assert await lab.taken("stable")
    assert await lab.taken("v1.0.0")
    candidate = await lab.candidate("v1.1.0")  # signed for :next and :testing, and by other jobs
    await lab.copy(lab.home, candidate, lab.home, Tag("stable"))
    assert not await lab.taken("stable")
    assert "stable/signed" in {check.name for check in (await lab.verify())[0].checks if not check.lets_through}
    await lab.copy(lab.home, first, lab.home, Tag("stable"))
    lab.job = "stable"
    assert outcome(await lab.promote_stable("v1.1.0")) == Outcome.PASSED
    assert await lab.taken("stable")
    lab.job = "people"
    assert outcome(await lab.rollback(Channel.STABLE)) == Outcome.PASSED
    assert await lab.taken("stable")
    assert outcome(await lab.verify()) == Outcome.PASSED


@pytest.mark.thorough
async def test_signatures_hold_in_another_repository_and_beside_those_of_others(shop: Callable[..., Shop]) -> None:
    """Somebody signs the candidate with cosign alone; it is released into a repository of its own."""
    lab, stranger = shop(apart=True), await keys("stranger")
    digest = await lab.candidate("v1.0.0")
    (image,) = lab.images
    signed = await attempt(
        with_cosign(lab.reach, stranger),
        [*("cosign", "sign", "--key=/keys/cosign.key", *OFFLINE, "--recursive"), image.repository.at(digest)],
    )
    assert not signed.code, signed.said
    lab.job = "stable"
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.PASSED
    assert await lab.taken("stable")
    for container in (with_cosign(lab.reach, stranger), with_cosign(lab.reach, lab.jobs["stable"].pair)):
        checked = await attempt(
            container,
            [*("cosign", "verify", "--key=/keys/cosign.pub", "--insecure-ignore-tlog"), *PLAIN, lab.home.at(digest)],
        )
        assert not checked.code, checked.said
    every = await lab.skopeo(lab.home.tagged(Tag("stable")), "--all")
    assert not every.code, every.said
