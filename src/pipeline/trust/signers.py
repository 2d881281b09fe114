"""Whose signatures count: by gate, and for the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.domain import Channel
from pipeline.trust.bundle import PAYLOAD_TYPE, Signed, read_bundle
from pipeline.trust.keyless import Identity, bearer
from pipeline.trust.keys import PublicKey
from pipeline.trust.warrant import warranted

LEDGER = "ledger"
"""The name of those who may write in every channel's ledger."""


@dataclass(frozen=True)
class Signer:
    """Somebody whose signatures count, known by a key."""

    file: str
    """Where its public key is in the repository, by which people know it."""
    key: PublicKey

    def __str__(self) -> str:
        return f"{self.file} ({self.key.fingerprint})"

    def made(self, signed: Signed) -> bool:
        """Whether one of the signatures is by this signer."""
        return any(self.key.signed(signed.message, signature) for signature in signed.signatures)


Accepted = Signer | Identity


@dataclass(frozen=True)
class Trust:
    """`[trust]` of the main branch; without any signer nothing needs a signature."""

    signers: Mapping[str, Sequence[Accepted]] = field(default_factory=dict)
    """By gate (next, testing, stable); LEDGER for those who may write in every ledger."""

    def of(self, channel: Channel, *, ledger: bool = False) -> Sequence[Accepted]:
        """Whose evidence of a gate counts, or whose entries in its channel's ledger: the gate's own, and LEDGER's."""
        own = self.signers.get(channel, ())
        return [*own, *self.signers.get(LEDGER, ())] if ledger else own

    def keys(self, channel: Channel) -> list[PublicKey]:
        """The keys of which one has to sign an image before a channel takes it.

        No others: whoever writes in every ledger cannot release. Nor identities, of which podman knows none of a
        workflow.
        """
        return [one.key for one in self.of(channel) if isinstance(one, Signer)]

    def evidence_refusal(self, gate: Channel, statement: bytes, bundle: bytes | None, warrant: bytes | None) -> str:
        """The same as `refusal` for what a gate found, which a key with a warrant may have signed."""
        signers = self.of(gate)
        why = self.refusal(signers, statement, bundle)
        if not why or bundle is None or warrant is None:
            return why
        try:
            signed, paper = read_bundle(bundle), read_bundle(warrant)
        except ValueError:
            return why
        key = warranted(gate, paper) if any(signer.made(paper) for signer in signers) else None
        about = (signed.payload_type, signed.payload) == (PAYLOAD_TYPE, statement)
        return "" if about and key and any(key.signed(signed.message, one) for one in signed.signatures) else why

    def refusal(self, signers: Sequence[Accepted], statement: bytes, bundle: bytes | None) -> str:
        """Why a statement does not count with these signers: what was found and what was expected; empty if it does."""
        if not signers:
            return ""
        expected = f"expected a signature by {' or '.join(map(str, signers))}"
        if bundle is None:
            return f"unsigned; {expected}"
        try:
            signed = read_bundle(bundle)
        except ValueError as error:
            return f"signed in a form that nobody can check: {error}; {expected}"
        if (signed.payload_type, signed.payload) != (PAYLOAD_TYPE, statement):
            return f"signed, but the signature is about another statement; {expected}"
        if any(signer.made(signed) for signer in signers):
            return ""
        return f"signed by {self._named(signed, signers)}; {expected}"

    def _named(self, signed: Signed, asked: Sequence[Accepted]) -> str:
        for name, signers in self.signers.items():
            if found := next((signer for signer in signers if signer.made(signed)), None):
                return f"{found}, which counts for {name}"
        if signed.keyless:
            doubts = [one.doubt(signed) for one in asked if isinstance(one, Identity)]
            return f"{bearer(signed)}, or nobody at all{f' ({doubts[0]})' if doubts else ''}"
        return f"a key that is not in [trust] (it calls itself {signed.hint or 'nothing'})"
