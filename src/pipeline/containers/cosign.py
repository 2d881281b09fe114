"""Signing, with cosign: statements into Sigstore bundles, and images in the form that podman, skopeo and bootc check.

Nothing goes to a transparency log for keys: such a signature is checked with the key alone.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import anyio
import dagger

from pipeline.containers.base import Reach, debian
from pipeline.containers.execution import Ran, attempt
from pipeline.containers.secrets import read_secret
from pipeline.domain import Digest, Repository
from pipeline.errors import InfrastructureError, UsageError
from pipeline.trust.bundle import bundle, signed_bytes
from pipeline.trust.keys import PublicKey
from pipeline.trust.notary import Sign

_KEY = "/run/secrets/signing.key"
_PAYLOAD = "/payload"
_OFFLINE = ("--tlog-upload=false", "--yes")
_DEADLINE = 120.0
_PAUSES = (2.0, 10.0, 30.0)
"""Seconds before a signature that failed for somebody else's fault is asked for again."""
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


async def attest(reach: Reach, signing: Signing, statement: bytes) -> bytes:
    """Sign an in-toto statement: DSSE in a Sigstore bundle, with the fingerprint of the key in it.

    UsageError for a key or password that is none, InfrastructureError when there is no signature after some tries.
    """
    return await attestor(reach, signing)(statement)


def attestor(reach: Reach, signing: Signing) -> Sign:
    """The same for several statements: the key is asked for its public half once."""
    fingerprint = ""

    async def sign(statement: bytes) -> bytes:
        nonlocal fingerprint
        fingerprint = fingerprint or (await public_key(reach, signing)).fingerprint
        return bundle(statement, await sign_blob(reach, signing, signed_bytes(statement)), fingerprint)

    return sign


async def sign_blob(reach: Reach, signing: Signing, content: bytes) -> bytes:
    """The signature over `content`, which is text."""
    container = (await cosign(reach, signing)).with_new_file(_PAYLOAD, content.decode())
    said = await _run(container, ["sign-blob", "--key", signing.name, *_OFFLINE, _PAYLOAD])
    try:
        return base64.b64decode(said.stdout.strip(), validate=True)
    except binascii.Error as error:
        raise InfrastructureError(f"cosign signed and printed no signature in base64: {said.end(3)}") from error


async def sign_image(reach: Reach, signing: Signing, repository: Repository, digest: Digest, identity: str) -> None:
    """Sign an image, and every platform of an index, behind cosign's `.sig` tags: podman's policy.json checks those.

    Args:
        reach: with the registry's login.
        signing: with what.
        repository: where the image is and its signatures go.
        digest: of the image.
        identity: the reference that the signature is about (`ghcr.io/owner/image:stable`), which a policy compares.
    """
    plain = ["--allow-http-registry", "--allow-insecure-registry"] if reach.is_plain(repository) else []
    container = reach.registries(await cosign(reach, signing))
    sign = ["sign", "--key", signing.name, *_OFFLINE, *plain, "--recursive"]
    await _run(container, [*sign, "--sign-container-identity", identity, repository.at(digest)])


async def public_key(reach: Reach, signing: Signing) -> PublicKey:
    """The public half of what is signed with."""
    told = await _run(await cosign(reach, signing), ["public-key", "--key", signing.name])
    try:
        return PublicKey.parse(told.stdout.encode())
    except ValueError as error:
        raise UsageError(f"The key that was given to sign with has {error}.") from error


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
        container = container.with_secret_variable("COSIGN_PASSWORD", signing.password)
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


async def _run(container: dagger.Container, command: list[str]) -> Ran:
    for pause in (*_PAUSES, None):
        # an answer of the engine's cache is no signature
        ran = await attempt(
            container.with_env_variable("PIPELINE_TRY", uuid4().hex), command, entrypoint=True, within=_DEADLINE
        )
        if not ran.code:
            return ran
        if _OURS.search(ran.said):
            raise UsageError(
                f"cosign cannot sign with what was given: {ran.end(1)}. Expected a key as `cosign generate-key-pair` "
                "or `cosign import-key-pair` writes it with its password, or a KMS reference and a cosign image that "
                "has its driver (cosign in [trust]). Nothing has moved."
            )
        if pause is not None:
            await anyio.sleep(pause)
    raise InfrastructureError(
        f"cosign could not sign: {ran.end(2)}. Nothing has moved; run the command again: what a gate found and was "
        "signed is not tested again."
    )
