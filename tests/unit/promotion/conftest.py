"""The promotion tests share modules beside this file: a registry in memory, a clock that jumps, a pipeline on both."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from memory_registry import MemoryRegistry
from virtual_time import VirtualTime


@pytest.fixture(params=[()], ids=[""])
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Waiting costs no time here."""
    return "asyncio", {"loop_factory": VirtualTime}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    """One that answers until the test ends."""
    monkeypatch.chdir(tmp_path)
    made = MemoryRegistry()
    with made.serving():
        yield made
