"""Signatures by an identity instead of a key: a short-lived certificate of Fulcio's, and an entry in Rekor's log.

Made and checked by Sigstore's own library, which is loaded only where it is needed: it takes a second.
"""

import base64
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat import asn1

from pipeline.errors import InfrastructureError, PipelineError, UsageError
from pipeline.trust.bundle import Signed

if TYPE_CHECKING:
    from sigstore.models import ClientTrustConfig, TrustedRoot
    from sigstore.verify import Verifier

FULCIO, REKOR = "https://fulcio.sigstore.dev", "https://rekor.sigstore.dev"
_ISSUER, _SOURCE, _BEGUN = (x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}") for number in (8, 12, 18))
"""Where Fulcio writes issuer, source repository and what was begun there (sigstore/fulcio, docs/oid-info.md)."""
_CALLER = tuple(x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}") for number in (5, 6))
"""Repository and ref of the workflow that was begun, the only ones that cosign compares; their bytes are the text."""
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError)
"""What is raised where a stranger wrote no certificate."""
_LONGEST_DOUBT = 200
"""Characters of what Sigstore's library says of a signature."""
_OF_THE_CALLER = frozenset({400, 401, 403, 413})
"""Answers that another try does not change."""
_SINCE = {"start": "2021-01-01T00:00:00Z"}


@dataclass(frozen=True)
class Sigstore:
    """An instance of Sigstore: whose certificates and logs are believed."""

    trusted_root: str = ""
    """Its trusted_root.json; that of the public instance without one."""
    fulcio: str = FULCIO
    rekor: str = REKOR

    @cached_property
    def root(self) -> "TrustedRoot":
        """UsageError for a trusted root that is none."""
        return self._config.trusted_root

    @cached_property
    def verifier(self) -> "Verifier":
        """What bundles are checked with."""
        from sigstore.verify import Verifier

        return Verifier(trusted_root=self.root)

    def sign(self, statement: bytes, token: str) -> bytes:
        """The bundle of a statement, by the identity of an OIDC token. Blocks while Fulcio and Rekor answer.

        UsageError for a token that is none, has expired or is refused, InfrastructureError when one of the two is away.
        """
        from sigstore.dsse import Statement
        from sigstore.oidc import ExpiredIdentity, IdentityError, IdentityToken
        from sigstore.sign import SigningContext

        try:
            identity = IdentityToken(token)
            with SigningContext.from_trust_config(self._config).signer(identity) as signer:
                return signer.sign_dsse(Statement(statement)).to_json().encode()
        except (IdentityError, ExpiredIdentity) as error:
            raise UsageError(
                f"The token given as --identity-token is none that Sigstore takes ({type(error).__name__}): it has "
                "expired, or its audience is not sigstore. Nothing has moved."
            ) from error
        except PipelineError:
            raise
        except Exception as error:  # the library lets those of its HTTP client through
            raise self._no_signature(error) from error

    def _no_signature(self, error: BaseException) -> PipelineError:
        where, status = _answered(error)
        if status in _OF_THE_CALLER:
            return UsageError(
                f"{where} refused to sign as --identity-token (HTTP {status}): the token is by nobody whom it knows, "
                "was taken back, or what it should sign is too large. Nothing has moved."
            )
        told = f"{where} gave no signature (HTTP {status})" if status else ""
        told = told or f"{self.fulcio} or {self.rekor} gave no signature ({type(error).__name__})"
        return InfrastructureError(f"{told}. Nothing has moved; run the command again.")

    @cached_property
    def _config(self) -> "ClientTrustConfig":
        from sigstore.models import ClientTrustConfig

        if not self.trusted_root:
            try:
                return ClientTrustConfig.production()
            except Exception:  # without a way there, by what the library brought along
                return ClientTrustConfig.production(offline=True)
        try:
            return ClientTrustConfig.from_json(json.dumps(self._described(json.loads(self.trusted_root))))
        except Exception as error:
            raise UsageError(
                f"trust.trusted_root is no trusted root of Sigstore's ({type(error).__name__})."
            ) from error

    def _described(self, root: dict[str, Any]) -> dict[str, Any]:
        """The instance in the form of sigstore/protobuf-specs, sigstore_trustroot.proto (ClientTrustConfig)."""

        def at(url: str) -> list[dict[str, Any]]:
            return [{"url": url, "majorApiVersion": 1, "validFor": _SINCE, "operator": ""}]

        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": root,
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": at(self.fulcio),
                "rekorTlogUrls": at(self.rekor),
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaConfig": {"selector": "ANY"},
            },
        }


@dataclass(frozen=True)
class Identity:
    """Somebody whose signatures count, known by who vouches for them."""

    issuer: str
    identity: str
    """As in `https://github.com/OWNER/REPO/.github/workflows/test-qemu.yml@refs/tags/v*`; `*` is anything. It is the
    workflow that was begun: one that it calls has the same name whoever calls it."""
    sigstore: Sigstore

    def __str__(self) -> str:
        return f"{self.identity} ({self.issuer})"

    def made(self, signed: Signed) -> bool:
        """Whether the signature is by this identity, in time, and in the log."""
        return signed.keyless and not self.doubt(signed)

    def doubt(self, signed: Signed) -> str:
        """Why what was signed without a key is not by this identity; empty when it is."""
        from sigstore.models import Bundle
        from sigstore.verify.policy import AllOf, OIDCIssuer

        try:
            policy = AllOf([OIDCIssuer(self.issuer), self])
            kind, payload = self.sigstore.verifier.verify_dsse(Bundle.from_json(signed.raw), policy)
        except Exception as error:  # whatever the library makes of what a stranger wrote
            return " ".join(f"{error or type(error).__name__}".split())[:_LONGEST_DOUBT]
        return "" if (kind, payload) == (signed.payload_type, signed.payload) else "another statement"

    def verify(self, cert: x509.Certificate) -> None:
        """Part of the library's policy: ValueError for a certificate of somebody else."""
        if not any(fnmatchcase(name, self.identity) for name in _names(cert)):
            raise ValueError(f"a certificate for {_names(cert)}")


def _answered(error: BaseException | None) -> tuple[str, int]:
    """Whose answer an error of the library's is about, and its status; its HTTP client's is somewhere behind it."""
    while error:
        if (response := getattr(error, "response", None)) is not None:
            return str(response.url), int(response.status_code)
        error = error.__cause__ or error.__context__
    return "", 0


@dataclass(frozen=True)
class Called:
    """A workflow that another one called, and whose job signed; cosign knows it by this alone."""

    name: str
    """Its own, whoever calls it."""
    repository: str
    """Where it was called: `OWNER/REPO`."""
    ref: str
    """The branch or tag for which it was: `refs/tags/v1.4.0`."""


def called(signed: Signed) -> Called | None:
    """What the workflow called that signed as itself; None where nobody called anything. Believed, or not."""
    try:
        cert = _certificate(signed)
        (name,) = _alternative(cert)
        if _names(cert) == [name]:
            return None
        repository, ref = (cert.extensions.get_extension_for_oid(one).value.public_bytes().decode() for one in _CALLER)
        return Called(name, repository, ref)
    except (*_UNREADABLE, x509.ExtensionNotFound):
        return None


def bearer(signed: Signed) -> str:
    """Whom the certificate in a bundle names, believed or not."""
    try:
        cert = _certificate(signed)
        return f"{', '.join(_names(cert))} ({_told(cert, _ISSUER) or '?'})"
    except _UNREADABLE:
        return "somebody whom its certificate does not name"


def _certificate(signed: Signed) -> x509.Certificate:
    material = json.loads(signed.raw)["verificationMaterial"]
    held = material.get("certificate") or material["x509CertificateChain"]["certificates"][0]
    return x509.load_der_x509_certificate(base64.b64decode(held["rawBytes"]))


def _names(cert: x509.Certificate) -> list[str]:
    """Whom it is for. A workflow's alternative name is that of the one which it called, so what was begun counts."""
    source, begun = _told(cert, _SOURCE), _told(cert, _BEGUN)
    if source and begun.startswith(f"{source}/"):  # elsewhere it is the address of a run, or of nothing
        return [begun]
    return _alternative(cert)


def _alternative(cert: x509.Certificate) -> list[str]:
    try:
        found = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*found.get_values_for_type(x509.UniformResourceIdentifier), *found.get_values_for_type(x509.RFC822Name)]


def _told(cert: x509.Certificate, what: x509.ObjectIdentifier) -> str:
    try:
        held = cert.extensions.get_extension_for_oid(what).value
    except x509.ExtensionNotFound:
        return ""
    return asn1.decode_der(str, held.public_bytes())
