"""What cosign's words mean, and what is tried again."""

from typing import Any

import pytest

from pipeline.containers import cosign, persistent
from pipeline.containers.cosign import Signing
from pipeline.containers.execution import Ran
from pipeline.errors import InfrastructureError, UsageError


class Container:
    """The engine's side; every exec is one of its own."""

    def with_env_variable(self, name: str, value: str) -> "Container":
        return self


class Secret:
    def __init__(self, text: str) -> None:
        self.text = text

    async def plaintext(self) -> str:
        return self.text


def answering(monkeypatch: pytest.MonkeyPatch, *said: str) -> list[str]:
    """cosign says these one after the other; an empty one is a success. Returns what is left to say."""
    left = list(said)

    async def attempt(container: Any, command: list[str], **told: Any) -> Ran:
        words = left.pop(0)
        return Ran(container, 1 if words else 0, "c2lnbmF0dXJl", words)

    async def sleep(seconds: float) -> None:
        """Time passes."""

    monkeypatch.setattr(cosign, "attempt", attempt)
    monkeypatch.setattr(persistent.anyio, "sleep", sleep)
    return left


async def run() -> Ran:
    container: Any = Container()
    return await cosign._run(container, ["sign-blob"], Signing(kms="awskms://x"))


async def test_an_outage_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    left = answering(monkeypatch, "dial tcp: i/o timeout", "429 Too Many Requests", "")
    assert (await run()).stdout == "c2lnbmF0dXJl"
    assert not left


async def test_an_outage_that_stays_is_infra_and_says_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, *["error contacting the KMS: 503"] * 4)
    with pytest.raises(InfrastructureError, match="503"):
        await run()


@pytest.mark.parametrize(
    "words",
    [
        "Error: signing /payload: reading key: decrypt: encrypted: decryption failed",
        "Error: signing /payload: reading key: invalid pem block",
        "Error: signing /payload: reading key: unsupported pem type: PRIVATE KEY",
        "Error: signing /payload: reading key: loading URL: unrecognized scheme: hashivault://",
    ],
)
async def test_what_no_try_makes_right_is_the_callers(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    left = answering(monkeypatch, words, "")
    with pytest.raises(UsageError, match="cosign generate-key-pair"):
        await run()
    assert left == [""]


async def test_the_login_of_a_kms_is_lines_of_names() -> None:
    good: Any = Secret("VAULT_ADDR=https://vault.test\n\nVAULT_TOKEN=canary=1\n")
    assert await cosign._settings(good) == [("VAULT_ADDR", "https://vault.test"), ("VAULT_TOKEN", "canary=1")]
    bad: Any = Secret("canary")
    with pytest.raises(UsageError, match="NAME=VALUE") as refused:
        await cosign._settings(bad)
    assert "canary" not in str(refused.value)


def test_there_is_one_thing_to_sign_with() -> None:
    key: Any = Secret("key")
    with pytest.raises(UsageError, match="one thing to sign with"):
        Signing()
    with pytest.raises(UsageError, match="one thing to sign with"):
        Signing(key, kms="awskms://x")
