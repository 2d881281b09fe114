"""Whose fault it is when a rechunker leaves nothing."""

from pathlib import Path

import pytest

from pipeline.errors import GateFailed, InfrastructureError, PipelineError, UsageError
from pipeline.image import candidate as module
from pipeline.image.candidate import candidate
from pipeline.image.podman import Finished


@pytest.mark.parametrize(
    ("code", "expected"), [(0, UsageError), (1, GateFailed), (125, InfrastructureError), (127, GateFailed)]
)
async def test_podmans_own_failure_says_nothing_about_the_image(
    code: int, expected: type[PipelineError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def podman(*arguments: str, deadline: float) -> Finished:
        return Finished(code if arguments[0] == "run" else 0, "", "what was said", 1.0)

    monkeypatch.setattr(module, "podman", podman)
    with pytest.raises(expected):
        await candidate(["localhost/os:1"], tmp_path / "out", tool="tool:1", told=["{layout}"], within=60)
