"""Signing what is written and judging what is read, for one command."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pipeline.domain import Channel, Digest
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.trust.image import Pen
from pipeline.trust.keys import PublicKey
from pipeline.trust.signers import Trust
from pipeline.trust.warrant import Warrant

Sign = Callable[[bytes], Awaitable[bytes]]
"""A statement to its bundle."""


@dataclass(frozen=True)
class Refused:
    """Something that was found and does not count."""

    what: str
    """As in `evidence of the testing gate`."""
    repository: str
    digest: Digest
    """Of its manifest."""
    about: str
    """The digest that evidence is about; the channel of an entry."""
    why: str

    def __str__(self) -> str:
        return f"{self.what} {self.repository}@{self.digest} does not count: {self.why}"


@dataclass
class Notary:
    """Without trust everything counts; without `sign` nothing is signed."""

    trust: Trust = field(default_factory=Trust)
    sign: Sign | None = None
    pen: Pen | None = None
    """What images are signed with; an identity has none."""
    refused: dict[Digest, Refused] = field(default_factory=dict)
    """What was met and does not count, by the digest of its manifest."""
    warrants: dict[Channel, tuple[Warrant, bytes]] = field(default_factory=dict)
    """By gate, what signs in place of a signer that is away, and the signature on that."""
    _made: dict[bytes, bytes] = field(default_factory=dict)

    def refusals(self, about: str) -> list[str]:
        """What was met about a digest, or in a channel's ledger, and does not count."""
        return [str(one) for one in self.refused.values() if one.about == about]

    async def signed(self, channel: Channel, statement: bytes, *, ledger: bool = False) -> bytes | None:
        """The bundle for a statement that is about to be stored; None without anything to sign with. Made once.

        PreconditionError when it would not count.
        """
        signers = self.trust.of(channel, ledger=ledger)
        bundle = await self._bundle(statement)
        if why := self.trust.refusal(signers, statement, bundle):
            what = f"the ledger of {channel}" if ledger else f"evidence of the {channel} gate"
            raise PreconditionError(
                f"What this command would write as {what} would be {why} ([trust] of the main branch). Give the key "
                "with --signing-key and its password with --signing-password, or --identity-token. Nothing was stored; "
                "nothing has moved."
            )
        return bundle

    async def _bundle(self, statement: bytes) -> bytes | None:
        if self.sign and statement not in self._made:
            self._made[statement] = await self.sign(statement)
        return self._made.get(statement)

    async def signed_evidence(self, gate: Channel, statement: bytes) -> tuple[bytes | None, bytes | None]:
        """The bundle for what a gate found and, where the signer is away, the warrant of the key that made it."""
        try:
            return await self.signed(gate, statement), None
        except InfrastructureError:
            if gate not in self.warrants:
                raise
            warrant, signed = self.warrants[gate]
            return warrant.sign(statement), signed

    async def ready(self, channel: Channel) -> None:
        """Before a gate, which takes hours: PreconditionError when what it finds could not be signed as it must.

        From here on the signer may be away: what the gate finds is not lost.
        """
        if not self.sign and not self.trust.of(channel) and not self.trust.of(channel, ledger=True):
            return
        warrant = Warrant.new(channel)
        await self.signed(channel, warrant.statement, ledger=True)
        if signed := await self.signed(channel, warrant.statement):
            self.warrants[channel] = warrant, signed

    async def image_keys(self, channel: Channel) -> list[PublicKey]:
        """The keys of which one has to sign an image: those of the channel; where nobody's are asked for, ours."""
        if self.trust.of(channel) or not self.pen:
            return self.trust.keys(channel)
        return [await self.pen.key()]
