"""Answers of a real openQA 4.6 server, recorded once (captures/), replayed here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain import Digest
from pipeline.openqa.jobs import Job
from pipeline.openqa.submission import DISK, SUITE, Order
from pipeline.openqa.verdict import Expectation

CAPTURES = Path(__file__).parent / "captures"

ORDER = Order(
    distri="bootcut",
    flavor="qcow2",
    version="1",
    arch="x86_64",
    release="1.2.3",
    digest=Digest("sha256:" + "ab" * 32),
    disk_sha256=Digest("sha256:" + "cd" * 32),
    disk_url="https://images.example.org/os-1.2.3-x86_64-abababababab.qcow2",
    scenarios="products: {}",
)


def read(name: str) -> dict[str, Any]:
    return json.loads((CAPTURES / f"{name}.json").read_text())


def body(name: str) -> Any:
    return read(name)["response"]["json"]


def read_cli(name: str) -> tuple[str, int, str]:
    """stdout, exit code and stderr of a recorded openqa-cli."""
    text = (CAPTURES / f"cli-schedule-{name}.txt").read_text()
    _, _, rest = text.partition("--- exit code ")
    code, _, rest = rest.partition("\n--- stdout\n")
    stdout, _, stderr = rest.partition("--- stderr\n")
    return stdout, int(code), stderr


def ours(data: dict[str, Any], number: int | None = None) -> dict[str, Any]:
    """A recorded job with the settings that a submission of ours would have given it."""
    job = json.loads(json.dumps(data.get("job", data)))
    job["settings"] |= {"BUILD": ORDER.build, "HDD_1": ORDER.disk, SUITE: ORDER.suite, DISK: ORDER.disk_sha256.hex}
    if number is not None:
        job["id"] = number
    return job


@pytest.fixture
def capture() -> Callable[[str], Any]:
    """The whole recorded request and response."""
    return read


@pytest.fixture
def cli() -> Callable[[str], tuple[str, int, str]]:
    """A recorded `openqa-cli schedule`."""
    return read_cli


@pytest.fixture
def as_ours() -> Callable[..., dict[str, Any]]:
    """A recorded job in openQA's JSON, as if it had been submitted by us."""
    return lambda name, number=None, **changes: ours(body(name), number) | changes


@pytest.fixture
def order() -> Order:
    return ORDER


@pytest.fixture
def expected() -> Expectation:
    return Expectation.of(ORDER)


@pytest.fixture
def recorded() -> Callable[..., Job]:
    """Make a Job of a capture, as if it had been submitted by us."""

    def make(name: str, number: int | None = None, **changes: Any) -> Job:
        return Job.parse(ours(body(name), number) | changes)

    return make
