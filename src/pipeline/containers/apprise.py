"""Telling people, through apprise: mail, Matrix, Slack, Discord, a webhook and many more, each by its address.

Whatever goes wrong here fails nothing: it is said on stderr, and the command ends as it would have ended.
"""

import sys
from collections.abc import Sequence
from uuid import uuid4

import dagger

from pipeline.containers.base import Reach, debian
from pipeline.containers.execution import attempt
from pipeline.containers.secrets import read_secret
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
        await read_secret(addresses, "notify")  # one that is not there is named
        tool = reach.outside(debian("apprise", "ca-certificates"))
        container = tool.with_mounted_secret(_ADDRESSES, addresses)
        for notice in notices:
            told = container.with_new_file(_BODY, notice.text).with_env_variable("RUN", uuid4().hex)
            command = f'apprise --config={_ADDRESSES} --title="$1" --input-format=text < {_BODY}'
            sent = await attempt(told, ["sh", "-c", command, "sh", notice.subject], within=_DEADLINE)
            if sent.code:
                failed.append(f"{notice.subject}: apprise ended with {sent.code}")
    except Exception as error:  # also what nobody thought of: the release has happened
        failed.append(f"{type(error).__name__}: {error}")
    for line in failed:
        print(f"Nobody was told: {line}", file=sys.stderr)
    return failed
