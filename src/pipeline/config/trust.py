"""`[trust]`: whose signatures count."""

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config.words import ImageReference, RelativePath, Table, Url
from pipeline.trust.keyless import FULCIO, REKOR


class Signer(Table):
    """One of those whose signatures count: by a key, or by an identity."""

    key: RelativePath | None = None
    """A file of the repository with a public key (PEM), as cosign.pub."""
    issuer: Url | None = None
    """Who vouches for the identity: `https://token.actions.githubusercontent.com` for a workflow on GitHub."""
    identity: Annotated[str, Field(min_length=2, pattern=r"[^*\s]")] | None = None
    """Whom the certificate must name, of workflows the one that was begun, not one that it calls; `*` is anything:
    `https://github.com/O/R/.github/workflows/x.yml@refs/tags/v*`."""

    @model_validator(mode="after")
    def _one_way(self) -> "Signer":
        if [bool(self.key), bool(self.issuer), bool(self.identity)] not in ([True, False, False], [False, True, True]):
            raise ValueError("expected either key, or issuer and identity")
        return self


Signers = Annotated[
    tuple[Signer, ...],
    Field(min_length=1),
    BeforeValidator(
        lambda found: [found] if isinstance(found, dict) else found, json_schema_input_type=Signer | tuple[Signer, ...]
    ),
]


class Trust(Table):
    """`[trust]`: whose signatures count. It is read from the main branch, wherever else the file is."""

    next: Signers | None = None
    """Whose evidence of the next gate counts, and whose entries in the ledger of `:next`: one or several."""
    testing: Signers | None = None
    """The same of the testing gate and `:testing`."""
    stable: Signers | None = None
    """The same of the stable gate and `:stable`."""
    ledger: Signers | None = None
    """Whose entries count in every ledger besides: of those who hold, roll back and release by hand."""
    cosign: ImageReference | None = None
    """An image with cosign 2 as its entrypoint, for keys in a KMS; Debian's cosign has no drivers for those."""
    trusted_root: RelativePath | None = None
    """A file of the repository: trusted_root.json of a Sigstore of your own. The public one's without it."""
    fulcio: Url = FULCIO
    """The certificate authority that signing with an identity token asks; of your own only with trusted_root."""
    rekor: Url = REKOR
    """The log that it writes to."""

    @model_validator(mode="after")
    def _is_believed(self) -> "Trust":
        if (self.fulcio, self.rekor) != (FULCIO, REKOR) and not self.trusted_root:
            raise ValueError("fulcio and rekor of your own go with trusted_root only, by which they are believed")
        return self

    def signers(self) -> dict[str, tuple[Signer, ...]]:
        """By gate and `ledger`, those that are named."""
        named = {"next": self.next, "testing": self.testing, "stable": self.stable, "ledger": self.ledger}
        return {name: found for name, found in named.items() if found}
