"""A command inside the image: what is its own answer, and what is podman's, which made it no container."""

import pytest

from pipeline.errors import InfrastructureError
from pipeline.image import podman
from pipeline.image.podman import Finished, never_ran, run_inside

pytestmark = pytest.mark.anyio

RESET = (
    "Error: OCI runtime error: runc: runc create failed: unable to start container process: waiting for init "
    "preliminary setup: read init-p: connection reset by peer\n"
)
MISSING = (
    'Error: runc: runc create failed: unable to start container process: exec: "/nope": stat /nope: no such file or '
    "directory: OCI runtime attempted to invoke a command that was not found\n"
)
NO_PROGRAM = (
    "Error: OCI runtime error: runc: runc create failed: exec /run/pipeline-tests/10-greets: exec format error\n"
)
DENIED = "Error: crun: open executable: Permission denied: OCI permission denied\n"
STORAGE = "Error: mounting storage for container: creating overlay mount: device or resource busy\n"


@pytest.mark.parametrize(
    ("code", "stderr", "never"),
    [
        (0, "", False),
        (1, RESET, False),
        (126, RESET, True),
        (126, "warned before\n" + RESET, True),
        (126, RESET + "and the test went on\n", False),
        (126, NO_PROGRAM, False),
        (126, DENIED, False),
        (127, MISSING, False),
        (126, "./10-greets: line 3: /etc/motd: Permission denied\n", False),
        (125, STORAGE, True),
        (125, "3 assertions failed\n", False),
        (125, "", False),
        (125, NO_PROGRAM, False),
    ],
)
def test_podmans_own_end_is_told_from_the_commands(code, stderr, never):
    assert never_ran(Finished(code, "", stderr, 0.1)) is never


@pytest.mark.parametrize(("ends", "runs"), [([RESET, ""], 2), ([STORAGE, ""], 2), ([""], 1)])
async def test_what_never_ran_is_run_once_more(monkeypatch, ends, runs):
    asked = _podman(monkeypatch, ends)
    assert (await run_inside("os", ["true"], deadline=1)).code == 0
    assert len(asked) == runs


async def test_what_never_runs_is_no_answer_of_the_image(monkeypatch):
    asked = _podman(monkeypatch, [RESET, RESET])
    with pytest.raises(InfrastructureError, match=r"no container for 10-greets, twice: .*connection reset by peer"):
        await run_inside("os", ["10-greets"], deadline=1)
    assert len(asked) == 2


def _podman(monkeypatch, ends: list[str]) -> list[tuple[str, ...]]:
    """Answers of podman, by what it says on stderr; how it was asked."""
    asked = list[tuple[str, ...]]()

    async def run(*words: str, deadline: float) -> Finished:
        said = ends[len(asked)]
        asked.append(words)
        return Finished(126 if "OCI runtime" in said else 125 if said else 0, "", said, 0.1)

    monkeypatch.setattr(podman, "podman", run)
    return asked
