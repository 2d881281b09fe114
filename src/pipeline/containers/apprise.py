"""Telling people, through apprise: mail, Matrix, Slack, Discord, a webhook and many more, each by its address.

Whatever goes wrong here fails nothing: it is said on stderr, and the command ends as it would have ended.
"""

import sys
from collections.abc import Sequence
from uuid import uuid4

import dagger

from pipeline.containers.base import Reach, debian
from pipeline.containers.execution import attempt
from pipeline.containers.secrets import readable
from pipeline.errors import PipelineError
from pipeline.report.notice import Notice

_ADDRESSES = "/run/secrets/notify"
_BODY = "/notice"
_DEADLINE = 120.0


async def tell(reach: Reach, addresses: dagger.Secret, notices: Sequence[Notice]) -> list[str]:
    """Send each notice to all addresses, lines as in https://mattermost.example.org/TOKEN; what could not be sent."""
    if not notices:
        return []
    failed = []
    try:
        container = reach.outside(debian("apprise", "ca-certificates")).with_mounted_secret(
            _ADDRESSES, await readable(addresses, "notify") or addresses
        )
        for notice in notices:
            told = container.with_new_file(_BODY, notice.text).with_env_variable("RUN", uuid4().hex)
            command = f'apprise --config={_ADDRESSES} --title="$1" --input-format=text < {_BODY}'
            sent = await attempt(told, ["sh", "-c", command, "sh", notice.subject], within=_DEADLINE)
            if sent.code:
                failed.append(f"{notice.subject}: apprise ended with {sent.code}")
    except PipelineError as error:
        failed.append(str(error))
    for line in failed:
        print(f"Nobody was told: {line}", file=sys.stderr)
    return failed
