"""How pytest-testinfra reaches a guest that has no SSH: `--hosts=gate://guest?context=SOCKET`, with this as a plugin.

The harness holds the guest's shell and serves it on a socket (`served`): a request is one line of JSON with the
command, the answer one with status and outputs. A guest that is lost is an error of the test and never a result.
"""

import json
import socket
from typing import Any

from testinfra import backend  # type: ignore[import-untyped]
from testinfra.backend import base  # type: ignore[import-untyped]

NAME = "gate"


class GateBackend(base.BaseBackend):  # type: ignore[misc]
    """Commands over the socket of the harness."""

    NAME = NAME

    def __init__(self, host: str, context: str, **kwargs: Any) -> None:
        self._socket = context
        super().__init__(host, **kwargs)

    def get_pytest_id(self) -> str:
        """What stands behind the name of each test."""
        return f"{NAME}://{self.hostname}"

    @classmethod
    def get_hosts(cls, host: str, **_: Any) -> list[str]:
        """The one guest."""
        return [host]

    def run(self, command: str, *args: str, **_: Any) -> base.CommandResult:
        """Have the guest's shell run it."""
        line = self.get_command(command, *args)
        with socket.socket(socket.AF_UNIX) as harness:
            harness.connect(self._socket)
            harness.sendall(json.dumps({"command": line}).encode() + b"\n")
            with harness.makefile() as answers:
                answer = json.loads(answers.readline())
        if "lost" in answer:
            raise RuntimeError(f"the guest is lost: {answer['lost']}")
        return self.result(answer["status"], line.encode(), answer["out"], answer["err"])


backend.BACKENDS[NAME] = f"{__name__}.{GateBackend.__name__}"
