"""Signing what is written and judging what is read, for one command."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pipeline.domain import Channel, Digest
from pipeline.errors import PreconditionError
from pipeline.trust.signers import Trust

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
    refused: dict[Digest, Refused] = field(default_factory=dict)
    """What was met and does not count, by the digest of its manifest."""

    async def signed(self, channel: Channel, statement: bytes, *, ledger: bool = False) -> bytes | None:
        """The bundle for a statement that is about to be stored; None without anything to sign with.

        PreconditionError when it would not count.
        """
        signers = self.trust.of(channel, ledger=ledger)
        bundle = await self.sign(statement) if self.sign else None
        if why := self.trust.refusal(signers, statement, bundle):
            what = f"the ledger of {channel}" if ledger else f"evidence of the {channel} gate"
            raise PreconditionError(
                f"What this command would write as {what} would be {why} ([trust] of the main branch). Give the key "
                "with --signing-key and its password with --signing-password. Nothing was stored; nothing has moved."
            )
        return bundle

    async def ready(self, channel: Channel, *, gate: bool = True) -> None:
        """PreconditionError when what a command is about to find out, or to record, could not be signed as it must."""
        for ledger in (False, True) if gate else (True,):
            if self.trust.of(channel, ledger=ledger):
                await self.signed(channel, b'{"rehearsal":true}', ledger=ledger)
