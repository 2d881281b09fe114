"""Signatures by an identity: a real Fulcio and Rekor give them, cosign alone takes them, and so do we."""

import json
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import dagger
import pytest
from dagger import dag
from lab_image import push
from scaffold import Bench, configured, outcome
from sigstore_lab import GITHUB, Servers, sigstore

from pipeline.containers import identity, persistent
from pipeline.containers.base import debian
from pipeline.containers.execution import Ran, attempt
from pipeline.containers.identity import sign_with_identity
from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.registry.sbom import attach_sbom
from pipeline.trust import statement
from pipeline.trust.keyless import Identity, Sigstore
from pipeline.trust.notary import Notary
from pipeline.trust.signers import Trust

WORKFLOWS = "owner/os/.github/workflows"
JOBS = {
    "next": f"{WORKFLOWS}/build-next.yml@refs/heads/main",
    "testing": f"{WORKFLOWS}/test-qemu.yml@refs/tags/v1.0.0-test",
    "stable": f"{WORKFLOWS}/release-stable.yml@refs/tags/v1.0.0",
}
CALLED = "pipeline/module/.github/workflows/stage.yml@refs/tags/v1"
"""What they call, and everybody may."""
PATTERNS = {name: re.sub(r"v1\.0\.0.*", "v*", f"{GITHUB}/{job}") for name, job in JOBS.items()}
"""As [trust] names them."""
DOCS = Path(__file__).parents[3] / "docs" / "trust.md"
HOST = "registry.local"
"""cosign reads bundles without TLS only from hosts of such names (go-containerregistry, name.Registry.Scheme)."""

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="session")
def servers(
    sigstore_program: Path, port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    with sigstore(sigstore_program, tmp_path_factory.mktemp("sigstore"), port) as running:
        yield running


@dataclass
class Shop(Bench):
    """Jobs that sign as themselves."""

    sigstore: Sigstore = field(default_factory=Sigstore)
    token: str = ""
    """Of the job that does something now."""

    def notary(self) -> Notary:
        secret = dag.set_secret(f"identity {uuid4().hex}", self.token)
        return Notary(self.trust, partial(sign_with_identity, self.sigstore, secret))

    @property
    def repository(self) -> Repository:
        return self.images[0].repository

    async def tag(self, name: str) -> Digest | None:
        async with self.world() as world:
            return await world.registry.repository(self.repository).digest(Tag(name))


@dataclass
class Lab:
    """A repository, and whoever works on it."""

    shop: Shop
    servers: Servers
    registry: str

    def by(self, job: str, called: str = "", **claims: Any) -> None:
        """From here on it is a job of this name, or this workflow, that does something."""
        self.shop.token = self.servers.issuer.token(JOBS.get(job, job), called, **claims)

    async def to_testing(self) -> None:
        """Everything up to testing."""
        self.by("next")
        assert outcome(await self.shop.build_next()) == Outcome.PASSED
        self.by("testing")
        assert outcome(await self.shop.promote_testing("v1.0.0-test")) == Outcome.PASSED

    async def cosign(self, digest: Digest, kind: str, by: str, policy: str, identity: str = "", *more: str) -> Ran:
        """cosign with the trusted root, and nothing of ours."""
        port = int(self.registry.rpartition(":")[2])
        service = dag.host().service([dagger.PortForward(backend=port, frontend=5000)])
        container = (
            debian("cosign", "ca-certificates")
            .with_service_binding(HOST, service)
            .with_new_file("/given/root.json", self.servers.root)
            .with_new_file("/given/authority.pem", self.servers.authority)
            .with_env_variable("SIGSTORE_ROOT_FILE", "/given/authority.pem")  # else 2.5 asks Sigstore's servers for it
            .with_new_file("/given/policy.cue", policy)
            .with_env_variable("RUN", uuid4().hex)
        )
        command = [
            *("cosign", "verify-attestation", "--new-bundle-format", "--trusted-root=/given/root.json"),
            f"--certificate-oidc-issuer={self.servers.issuer.address}",
            f"--certificate-identity={identity or f'{GITHUB}/{JOBS[by]}'}",
            *more,
            *(f"--type={kind}", "--policy=/given/policy.cue", f"{HOST}:5000/{self.shop.repository.path}@{digest}"),
        ]
        return await attempt(container, command)


@pytest.fixture
async def lab(engine: None, servers: Servers, registry: str, copy: Any) -> AsyncIterator[Lab]:
    config = configured(f"test/{uuid4().hex}", host=registry, plain=True)
    instance = Sigstore(servers.root, servers.fulcio, servers.rekor)
    shop = Shop(config, copy, push, sigstore=instance)
    shop.trust = Trust({name: [Identity(servers.issuer.address, at, instance)] for name, at in PATTERNS.items()})
    shop.git.tags |= dict.fromkeys(("v1.0.0", "v1.0.0-test"), shop.git.commit())
    yield Lab(shop, servers, registry)
    for process in servers.processes.values():
        process.send_signal(signal.SIGCONT)


@pytest.fixture
def impatient_signer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistent, "_PAUSES", (0.1,))
    monkeypatch.setattr(identity, "_DEADLINE", 2.0)


async def test_a_release_by_workflows_is_taken_by_cosign_alone_and_by_verify(lab: Lab) -> None:
    await lab.to_testing()
    lab.by("stable")
    assert outcome(await lab.shop.promote_stable("v1.0.0")) == Outcome.PASSED
    (told,) = await lab.shop.verify()
    assert told.outcome is Outcome.PASSED, told.reason
    line = json.loads(await lab.shop.anchor(Channel.STABLE))
    assert line["verificationMaterial"]["tlogEntries"]
    assert outcome(await lab.shop.verify("anchor")) == Outcome.PASSED
    digest = await lab.shop.tag("stable")
    assert digest
    tested, passed = re.findall(r"```cue\n(.*?)```", DOCS.read_text(), re.DOTALL)
    for gate in ("next", "testing", "stable"):
        says = tested.replace("testing", gate), passed.replace("STABLE", gate.upper())
        for kind, policy in zip((statement.TEST_RESULT, statement.VERIFICATION), says, strict=True):
            ran = await lab.cosign(digest, kind, gate, policy)
            assert not ran.code, ran.said
        another = "next" if gate == "stable" else "stable"
        ran = await lab.cosign(digest, statement.TEST_RESULT, another, says[0])
        assert ran.code, f"{another} vouches for {gate}: {ran.said}"
    for stranger in (f"{GITHUB}/owner/fork/.github/workflows/release-stable.yml@refs/tags/v1.0.0", "somebody@test"):
        ran = await lab.cosign(digest, statement.TEST_RESULT, "stable", tested, stranger)
        assert ran.code, ran.said


async def test_the_bill_of_a_desktop_goes_through_the_log(lab: Lab) -> None:
    lab.by("next")
    assert outcome(await lab.shop.build_next()) == Outcome.PASSED
    digest = await lab.shop.tag("next")
    assert digest
    packages = [{"SPDXID": f"a{one}", "name": f"hello-{one}", "comment": "x" * 1000} for one in range(4000)]
    async with lab.shop.world() as world:
        bill = json.dumps({"spdxVersion": "SPDX-2.3", "packages": packages}).encode()
        await attach_sbom(world.registry.repository(lab.shop.repository), digest, bill)
    ran = await lab.cosign(digest, statement.SPDX, "next", 'predicate: packages: [{name: "hello-0", ...}, ...]')
    assert not ran.code, ran.said


@pytest.mark.parametrize(
    ("job", "found"),
    [
        (f"{WORKFLOWS}/test-qemu.yml@refs/heads/feature", "signed by .*test-qemu.yml@refs/heads/feature"),
        ("next", "signed by .*build-next.yml@.*, which counts for next"),
        ("owner/fork/.github/workflows/test-qemu.yml@refs/tags/v1", "signed by https://github.com/owner/fork/"),
    ],
)
async def test_nobody_else_gets_a_gate_run(lab: Lab, job: str, found: str) -> None:
    lab.by("next")
    assert outcome(await lab.shop.build_next()) == Outcome.PASSED
    lab.by(job)
    runs = len(lab.shop.gate_runs)
    (told,) = await lab.shop.promote_testing("v1.0.0-test")
    assert told.outcome is Outcome.PRECONDITION, told.reason
    assert re.search(f"would be {found}.*expected a signature by {re.escape(PATTERNS['testing'])}", told.reason), (
        told.reason
    )
    assert len(lab.shop.gate_runs) == runs


async def test_a_workflow_that_calls_a_reusable_one_signs_as_itself(lab: Lab) -> None:
    """Its certificate has the name of what it called, which strangers call as well."""
    lab.by("next", CALLED)
    assert outcome(await lab.shop.build_next()) == Outcome.PASSED
    lab.by("owner/fork/.github/workflows/test-qemu.yml@refs/tags/v1.0.0-test", CALLED)
    (told,) = await lab.shop.promote_testing("v1.0.0-test")
    assert told.outcome is Outcome.PRECONDITION, told.reason
    assert "signed by https://github.com/owner/fork/.github/workflows/test-qemu.yml@" in told.reason
    lab.by("testing", CALLED)
    assert outcome(await lab.shop.promote_testing("v1.0.0-test")) == Outcome.PASSED
    digest = await lab.shop.tag("testing")
    assert digest
    tested, _ = re.findall(r"```cue\n(.*?)```", DOCS.read_text(), re.DOTALL)
    called, ref = f"{GITHUB}/{CALLED}", "--certificate-github-workflow-ref=refs/tags/v1.0.0-test"
    for repository, code in (("owner/os", 0), ("owner/fork", 1)):
        by = f"--certificate-github-workflow-repository={repository}", ref
        ran = await lab.cosign(digest, statement.TEST_RESULT, "", tested, called, *by)
        assert ran.code == code, ran.said


@pytest.mark.usefixtures("impatient_signer")
@pytest.mark.parametrize("who", ["fulcio", "rekor", "certificates"])
async def test_a_sigstore_that_stops_answering_moves_nothing_and_costs_no_gate(lab: Lab, who: str) -> None:
    """Stopped while the gate runs: connections are taken, and nobody answers."""
    lab.by("next")
    assert outcome(await lab.shop.build_next()) == Outcome.PASSED
    process = lab.servers.processes[who]

    async def stop() -> None:
        process.send_signal(signal.SIGSTOP)

    lab.shop.during_gate = stop
    lab.by("testing")
    (told,) = await lab.shop.promote_testing("v1.0.0-test")
    assert told.outcome is Outcome.INFRA, told.reason
    assert "gave no signature" in told.reason
    assert await lab.shop.tag("testing") is None
    runs = len(lab.shop.gate_runs)
    process.send_signal(signal.SIGCONT)
    assert outcome(await lab.shop.promote_testing("v1.0.0-test")) == Outcome.PASSED
    assert len(lab.shop.gate_runs) == runs
    assert outcome(await lab.shop.verify()) == Outcome.PASSED


@pytest.mark.usefixtures("impatient_signer")
@pytest.mark.parametrize("fault", ["TOO_MANY", "INTERNAL", "RESET_AFTER", "TRUNCATED"])
@pytest.mark.parametrize("who", ["fulcio", "rekor"])
async def test_one_fault_is_tried_again_and_many_are_an_outage(
    lab: Lab, faultproxy: ModuleType, who: str, fault: str
) -> None:
    address = getattr(lab.servers, who)
    async with faultproxy.FaultProxy(address.removeprefix("http://")) as proxy:
        told = {"fulcio": lab.servers.fulcio, "rekor": lab.servers.rekor} | {who: f"http://{proxy.address}"}
        lab.shop.sigstore = Sigstore(lab.servers.root, **told)
        lab.by("next")
        proxy.arm(faultproxy.Fault[fault], 1)
        assert outcome(await lab.shop.build_next()) == Outcome.PASSED
        proxy.arm(faultproxy.Fault[fault], 1, forever=True)
        lab.by("testing")
        (result,) = await lab.shop.promote_testing("v1.0.0-test")
        assert result.outcome is Outcome.INFRA, result.reason
        assert await lab.shop.tag("testing") is None


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({"exp": 1}, "expired"),
        ({"aud": "somebody"}, "audience"),
        ({"iss": "http://127.0.0.1:9"}, r"signingCert refused to sign as --identity-token \(HTTP 400\)"),
    ],
)
async def test_a_token_that_does_not_hold_is_the_callers(lab: Lab, claims: dict[str, Any], found: str) -> None:
    lab.by("next", **claims)
    (told,) = await lab.shop.build_next()
    assert told.outcome is Outcome.USAGE, told.reason
    assert re.search(found, told.reason), told.reason
    assert lab.shop.token not in told.reason
    assert await lab.shop.tag("next") is None
