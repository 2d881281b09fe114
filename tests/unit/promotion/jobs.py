"""Jobs that sign what they do, each with a key of its own, on the registry in memory."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, configured, outcome

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest, Outcome, Repository
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.evidence import Evidence
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.trust.bundle import bundle, signed_bytes
from pipeline.trust.image import Pen
from pipeline.trust.keys import PublicKey
from pipeline.trust.notary import Notary, Sign
from pipeline.trust.signers import Signer, Trust


class Key:
    """A key pair, and what signs with it."""

    def __init__(self, name: str) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        public = PublicKey.parse(self._private.public_key().public_bytes(serialization.Encoding.PEM, kind))
        self.signer = Signer(f"keys/{name}.pub", public)

    async def sign(self, statement: bytes) -> bytes:
        return bundle(statement, self.raw(statement), self.signer.key.fingerprint)

    def raw(self, statement: bytes) -> bytes:
        return self.plain(signed_bytes(statement))

    def plain(self, content: bytes) -> bytes:
        return self._private.sign(content, ec.ECDSA(hashes.SHA256()))

    @property
    def pen(self) -> Pen:
        async def key() -> PublicKey:
            return self.signer.key

        async def sign(contents: Sequence[bytes]) -> list[bytes]:
            return [self.plain(content) for content in contents]

        return Pen(key, sign)


NEXT, TESTING, STABLE, PEOPLE, STRANGER = (Key(name) for name in ("next", "testing", "stable", "people", "stranger"))
OF = {Channel.NEXT: NEXT, Channel.TESTING: TESTING, Channel.STABLE: STABLE}
TRUST = Trust(
    {
        "next": [NEXT.signer],
        "testing": [TESTING.signer],
        "stable": [STABLE.signer],
        "ledger": [PEOPLE.signer],
    }
)


@dataclass
class Lab(Bench):
    """Jobs that sign with a key of their own, and a stranger who may push."""

    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    trust: Trust = TRUST
    pen: Pen | None = None
    """What images are signed with where `sign` is of no key."""

    @property
    def tags(self) -> dict[str, Digest]:
        return self.registry.store("os").tags

    def notary(self) -> Notary:
        key = getattr(self.sign, "__self__", None)
        return Notary(self.trust, self.sign, key.pen if isinstance(key, Key) else self.pen)

    async def prepare(self, version: str) -> None:
        """Everything up to next."""
        self.git.tags |= dict.fromkeys((version, f"{version}-test"), self.git.commit())
        self.sign = NEXT.sign
        assert outcome(await self.build_next()) == Outcome.PASSED

    async def to_testing(self, version: str) -> list[Result]:
        self.sign = TESTING.sign
        return await self.promote_testing(f"{version}-test")

    async def to_stable(self, version: str) -> list[Result]:
        self.sign = STABLE.sign
        return await self.promote_stable(version)

    async def release(self, version: str) -> None:
        await self.prepare(version)
        assert outcome(await self.to_testing(version)) == Outcome.PASSED
        assert outcome(await self.to_stable(version)) == Outcome.PASSED

    async def by(self, sign: Sign | None, act: Callable[[RepositoryClient], Awaitable[object]]) -> None:
        """Somebody acts with push rights and this key, and believes whatever is there."""
        async with RegistryClient(deadline=5, notary=Notary(sign=sign)) as client:
            await act(client.repository(Repository(HOST, "os")))

    def evidence(self, gate: Channel, digest: Digest, outcome: Outcome = Outcome.PASSED) -> Evidence:
        status = CheckStatus.PASSED if outcome is Outcome.PASSED else CheckStatus.FAILED
        checks = [Check(name="all", status=status)]
        result = Result(command="gate", outcome=outcome, reason="41 checks", image="os", digest=digest, checks=checks)
        return Evidence(gate=gate, gate_version=self.config.gate_version(gate, self.images[0]), result=result)


@contextmanager
def new_lab(*names: str, **told: Any) -> Iterator[Lab]:
    """With images of these names; the rest is what `configured` takes."""
    registry = MemoryRegistry()

    async def push(image: Image, commit: Commit, labels: dict[str, str]) -> None:
        await registry.push(image.repository.path, commit, labels, f"{image.name} {commit}")

    with registry.serving():
        yield Lab(configured(*names, host=HOST, **told), registry.copy, push, registry=registry)
