"""Signing with cosign: of statements, and of what podman, skopeo and bootc take for the signature of an image.

Nothing goes to a transparency log for keys: such a signature is checked with the key alone.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import dagger

from pipeline.containers.base import Reach, anew, debian
from pipeline.containers.execution import Ran, attempt
from pipeline.containers.persistent import persistently
from pipeline.containers.secrets import read_secret
from pipeline.each import each
from pipeline.errors import InfrastructureError, UsageError
from pipeline.trust.bundle import bundle, signed_bytes
from pipeline.trust.image import Pen
from pipeline.trust.keys import PublicKey

_KEY = "/run/secrets/signing.key"
_UNLOCKS = "/run/secrets/signing.password"
_PAYLOAD = "/payload"
_OFFLINE = ("--tlog-upload=false", "--yes")
_DEADLINE = 60.0
"""Seconds for one try."""
_OURS = re.compile(
    r"decryption failed|invalid pem block|unsupported pem type|unrecognized scheme|unmarshal|password|unsupported key",
    re.IGNORECASE,
)
"""What cosign says of a key, password or reference that no try will make right."""
_SETTING = re.compile(r"[A-Z_][A-Z0-9_]*")


@dataclass(frozen=True)
class Signing:
    """With what is signed: a key of cosign's (`cosign generate-key-pair`), or a reference that its KMS drivers take."""

    key: dagger.Secret | None = None
    password: dagger.Secret | None = None
    kms: str = ""
    """As in awskms://…, hashivault://…: see cosign's documentation."""
    kms_auth: dagger.Secret | None = None
    """Lines of NAME=VALUE that the KMS driver takes from its environment."""
    image: str = ""
    """An image with cosign 2 as its entrypoint; Debian's, which has no KMS drivers, without one."""

    def __post_init__(self) -> None:
        if bool(self.key) == bool(self.kms):
            raise UsageError("Expected one thing to sign with: --signing-key or --signing-kms.")

    @property
    def name(self) -> str:
        """What cosign is given as its key."""
        return self.kms or _KEY

    @property
    def stdin(self) -> str:
        """Where cosign reads the password, which then is in no environment that a list of processes shows."""
        return _UNLOCKS if self.password else ""


class Hand:
    """Signs for one command; the key is asked for its public half once.

    UsageError for a key or password that is none, InfrastructureError when there is no signature after some tries.
    """

    def __init__(self, reach: Reach, signing: Signing) -> None:
        self._reach, self._signing = reach, signing
        self._key: PublicKey | None = None

    @property
    def pen(self) -> Pen:
        """What images are signed with."""
        return Pen(self.key, self.sign)

    async def attest(self, statement: bytes) -> bytes:
        """Sign an in-toto statement: DSSE in a Sigstore bundle, with the fingerprint of the key in it."""
        fingerprint = (await self.key()).fingerprint
        (signature,) = await self.sign([signed_bytes(statement)])
        return bundle(statement, signature, fingerprint)

    async def sign(self, contents: Sequence[bytes]) -> list[bytes]:
        """The signature over each of some texts."""
        container = await cosign(self._reach, self._signing)

        async def signature(content: bytes) -> bytes:
            """One text a time: of several, cosign finds no more password for the second one."""
            given = container.with_new_file(_PAYLOAD, content.decode())
            command = ["sign-blob", "--key", self._signing.name, *_OFFLINE, _PAYLOAD]
            said = await _run(given, command, self._signing)
            with suppress(binascii.Error):
                if found := base64.b64decode(said.stdout.strip(), validate=True):
                    return found
            raise InfrastructureError(f"cosign signed and printed no signature in base64: {said.end(3)}")

        return await each(contents, signature)

    async def key(self) -> PublicKey:
        """The public half of what is signed with."""
        if self._key is None:
            container = await cosign(self._reach, self._signing)
            told = await _run(container, ["public-key", "--key", self._signing.name], self._signing)
            try:
                self._key = PublicKey.parse(told.stdout.encode())
            except ValueError as error:
                raise UsageError(f"The key that was given to sign with has {error}.") from error
        return self._key


async def cosign(reach: Reach, signing: Signing) -> dagger.Container:
    """A container whose entrypoint is cosign, with key, password and the KMS driver's login as secrets."""
    if signing.image:
        container = reach.outside(await reach.image(signing.image))
    else:
        container = reach.outside(debian("cosign", "ca-certificates").with_entrypoint(["cosign"]))
    if signing.key:
        await read_secret(signing.key, "signing-key")
        container = container.with_mounted_secret(_KEY, signing.key)
    if signing.password:
        await read_secret(signing.password, "signing-password")
        container = container.with_mounted_secret(_UNLOCKS, signing.password)
    else:
        container = container.with_env_variable("COSIGN_PASSWORD", "")
    for name, value in await _settings(signing.kms_auth):
        container = container.with_secret_variable(name, dagger.dag.set_secret(f"signing-{name}", value))
    return container


async def _settings(auth: dagger.Secret | None) -> Sequence[tuple[str, str]]:
    if auth is None:
        return ()
    lines = [line.strip() for line in (await read_secret(auth, "signing-kms-auth")).splitlines() if line.strip()]
    settings = [line.partition("=") for line in lines]
    if not all(equals and _SETTING.fullmatch(name) for name, equals, _ in settings):
        raise UsageError("The secret given as --signing-kms-auth is not of lines NAME=VALUE.")
    return [(name, value) for name, _, value in settings]


async def _run(container: dagger.Container, command: list[str], signing: Signing) -> Ran:
    async def once() -> Ran:
        ran = await attempt(anew(container), command, entrypoint=True, stdin=signing.stdin, within=_DEADLINE)
        if _OURS.search(ran.said) and ran.code:
            raise UsageError(
                f"cosign cannot sign with what was given: {ran.end(1)}. Expected a key as `cosign generate-key-pair` "
                "or `cosign import-key-pair` writes it with its password, or a KMS reference and a cosign image that "
                "has its driver (cosign in [trust]). Nothing has moved."
            )
        if ran.code:
            raise InfrastructureError(
                f"cosign could not sign: {ran.end(2)}. Nothing has moved; run the command again: what a gate found "
                "and was signed is not tested again."
            )
        return ran

    return await persistently(once)
