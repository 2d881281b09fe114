"""Signing with the identity of a job."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread

import anyio
import dagger
import httpx

from pipeline.containers.persistent import persistently
from pipeline.containers.secrets import read_secret
from pipeline.errors import InfrastructureError, UsageError
from pipeline.trust.keyless import Sigstore

AUDIENCE = "sigstore"
_DEADLINE = 30.0
"""Seconds for a token, and for a signature."""


async def sign_with_identity(sigstore: Sigstore, secret: dagger.Secret, statement: bytes) -> bytes:
    """The bundle of a statement, signed by the identity that `secret` holds: see `identity_token`.

    UsageError for a token that nobody takes, InfrastructureError when there is no signature after some tries.
    """
    told = (await read_secret(secret, "identity-token")).split()

    async def once() -> bytes:
        token = await identity_token(told)
        try:
            with anyio.fail_after(_DEADLINE):
                return await _aside(lambda: sigstore.sign(statement, token))
        except TimeoutError:
            raise InfrastructureError(
                f"{sigstore.fulcio} and {sigstore.rekor} gave no signature within {_DEADLINE:.0f} s. Nothing has "
                "moved; run the command again."
            ) from None

    return await persistently(once)


async def _aside(work: Callable[[], bytes]) -> bytes:
    """In a thread that can be left alone, and ends with the process: Sigstore's library waits for ever."""
    done = Future[bytes]()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    done.set_running_or_notify_cancel()
    Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(done)


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
