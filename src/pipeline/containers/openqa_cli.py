"""Submitting to openQA, with its own client."""

import anyio
import dagger
from dagger import dag

from pipeline.containers.base import Reach, debian
from pipeline.containers.execution import attempt
from pipeline.containers.secrets import read_secret
from pipeline.errors import UsageError
from pipeline.openqa.submission import Answer, Order, client_conf, parse_answer, schedule_arguments
from pipeline.quantities import duration_text

_SCENARIOS = "/scenarios.yaml"
_DEADLINE = 900.0
"""Seconds for the container and the submission; a product of thousands of jobs takes minutes."""


async def schedule(reach: Reach, host: str, auth: tuple[str, str] | None, order: Order) -> Answer:
    """Submit the order; what the server said, whatever it was. Key and secret travel in a mounted client.conf."""
    container = reach.outside(debian("ca-certificates", "openqa-client"))
    if auth:
        conf = dag.set_secret("openqa-client-conf", client_conf(host, *auth))
        container = container.with_mounted_secret("/etc/openqa/client.conf", conf)
    if order.scenarios:
        container = container.with_new_file(_SCENARIOS, order.scenarios)
    arguments = schedule_arguments(host, _SCENARIOS if order.scenarios else None, order.settings)
    with anyio.move_on_after(_DEADLINE):
        asked = await attempt(container, arguments)
        return parse_answer(asked.stdout, asked.code, asked.stderr)
    return Answer(error=f"openqa-cli schedule did not end within {duration_text(_DEADLINE)}", status=0)


async def key_and_secret(auth: dagger.Secret | None, argument: str) -> tuple[str, str] | None:
    """Take `KEY:SECRET` apart; UsageError, without showing it, when it has another shape."""
    if auth is None:
        return None
    key, colon, secret = (await read_secret(auth, argument)).strip().partition(":")
    if not (key and colon and secret) or any(part.split() != [part] for part in (key, secret)):
        raise UsageError(f"The secret given as --{argument} is not of the form KEY:SECRET.")
    return key, secret
