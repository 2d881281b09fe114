"""Secrets that the caller handed over by reference, read where their text is needed."""

import dagger

from pipeline.errors import UsageError


async def read_secret(secret: dagger.Secret, argument: str) -> str:
    """The text of the secret given as `--ARGUMENT`.

    Raises UsageError, naming the argument, when the reference leads nowhere (a variable that is not set, a file that
    is not there, a command that fails): the engine looks only when somebody asks for the text.
    """
    try:
        text = await secret.plaintext()
    except dagger.QueryError as error:
        raise UsageError(
            f"The secret given as --{argument} cannot be read: {_last_line(error)}. Expected a reference to something "
            "that is there, such as env://NAME of a variable that is set, or file://PATH."
        ) from error
    if not text.strip():
        raise UsageError(f"The secret given as --{argument} is empty. Set what it refers to, or leave it out.")
    return text


async def readable(secret: dagger.Secret | None, argument: str) -> dagger.Secret | None:
    """The same secret for a mount, once it is known that it can be read."""
    if secret is not None:
        await read_secret(secret, argument)
    return secret


def _last_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or ["the engine does not say why"])[-1].rstrip(". ")
    return line.rpartition("rpc error: code = Unknown desc = ")[2]
