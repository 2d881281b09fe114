"""Signing with the identity of a job."""

from functools import partial

import dagger
import httpx
from anyio import to_thread

from pipeline.containers.secrets import read_secret
from pipeline.errors import InfrastructureError, UsageError
from pipeline.trust.keyless import Sigstore

AUDIENCE = "sigstore"
_DEADLINE = 30.0


async def sign_with_identity(sigstore: Sigstore, secret: dagger.Secret, statement: bytes) -> bytes:
    """The bundle of a statement, signed by the identity that `secret` holds: see `identity_token`."""
    token = await identity_token((await read_secret(secret, "identity-token")).split())
    return await to_thread.run_sync(partial(sigstore.sign, statement, token))


async def identity_token(told: list[str]) -> str:
    """The token itself; of an address and a word that asks there, a fresh one: tokens live minutes, gates run hours.

    Source: GitHub, "OpenID Connect reference" (ACTIONS_ID_TOKEN_REQUEST_URL and _TOKEN). UsageError for anything else.
    """
    match told:
        case [token]:
            return token
        case [url, bearer] if url.startswith("https://"):
            return await _asked_for(url, bearer)
    raise UsageError(
        "The secret given as --identity-token is neither a token, nor an https address and the word that asks there "
        "for one (ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN, with a space between)."
    )


async def _asked_for(url: str, bearer: str) -> str:
    host = httpx.URL(url).host
    try:
        async with httpx.AsyncClient(timeout=_DEADLINE) as http:
            asked = httpx.URL(url).copy_merge_params({"audience": AUDIENCE})
            answer = await http.get(asked, headers={"Authorization": f"Bearer {bearer}"})
            answer.raise_for_status()
            return str(answer.json()["value"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise InfrastructureError(
            f"{host} gave no identity token ({type(error).__name__}). Nothing has moved; run the command again. On "
            "GitHub the job needs the permission id-token: write."
        ) from error
