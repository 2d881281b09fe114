"""What the openQA gate adds to the jobs that it waits for: a real openQA, and a job that only takes its time."""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from uuid import uuid4

import dagger
from dagger import dag

from pipeline.containers.base import DEBIAN, Reach
from pipeline.containers.openqa_cli import schedule
from pipeline.domain import Digest, Outcome
from pipeline.lab.openqa import PORT, openqa
from pipeline.openqa.client import OpenQA
from pipeline.openqa.gate import Limits, run_gate, still_passed
from pipeline.openqa.progress import Progress
from pipeline.openqa.runs import acknowledge, find_run
from pipeline.openqa.submission import Order
from pipeline.openqa.verdict import Expectation
from rehearsal.lab import MODULE, OPENQA_AUTH

_URL = f"http://openqa:{PORT}"
_SECONDS = "8"
"""What the job takes: longer than any look at it."""
_SCENARIOS = """
products: {os: {distri: bootclab, flavor: 'null', version: '*', arch: x86_64}}
machines: {'null': {backend: 'null', settings: {WORKER_CLASS: qemu_x86_64}}}
job_templates: {sleeps: {product: os, machine: 'null', settings: {SLEEP: '%s'}}}
"""


@dataclass(frozen=True)
class _Round:
    """Seconds of one gate."""

    before: float
    """A run that is there looked for, openqa-cli started and answered, the run acknowledged."""
    job: float
    """From there until the job's end, as openQA tells it."""
    seen: float
    """From the job's end until the gate saw it: at most one poll."""
    after: float
    """Verdict, proof, and the look right before the tag moves."""


async def measured(rounds: int, poll: float) -> list[str]:
    """Gates one after the other, the first one to warm up; the medians as lines."""
    with tempfile.TemporaryFile("w") as log:
        async with dagger.connection(dagger.Config(log_output=log)), _server(rounds + 1) as (reach, client):
            found = [await _round(reach, client, number, poll) for number in range(rounds + 1)][1:]
    figures = {
        "  before: looked for a run, submitted, acknowledged": [one.before for one in found],
        f"  the job (sleeps {_SECONDS} s), openQA's scheduler and worker": [one.job for one in found],
        f"  its end seen (at most the poll of {poll:.1f} s)": [one.seen for one in found],
        "  verdict, proof, last look": [one.after for one in found],
        "the gate's own time, without the poll (target: 3 s)": [one.before + one.after for one in found],
    }
    return [f"{name:<58} {median(values):>6.1f} s" for name, values in figures.items()]


async def _round(reach: Reach, client: OpenQA, number: int, poll: float) -> _Round:
    key, _, secret = OPENQA_AUTH.partition(":")
    digest = Digest(f"sha256:{f'{number:012x}'.ljust(64, '0')}")
    order = Order(
        distri="bootclab",
        flavor="null",
        version="1",
        arch="x86_64",
        release="1.0.0",
        digest=digest,
        disk_url=f"http://files:8080/os-{number:012x}.qcow2",
        disk_sha256=digest,
        scenarios=_SCENARIOS % _SECONDS,
    )
    expected = Expectation.of(order)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.time()
        assert await find_run(client, order, expected) is None
        run = await acknowledge(client, order, await schedule(reach, _URL, (key, secret), order), expected)
        submitted = time.time()
        outcome = await run_gate(client, run, Path(folder), Limits(overall=120, poll=poll), _unheard)
        seen = time.time() - outcome.after
        assert outcome.outcome is Outcome.PASSED, outcome.reason
        assert await still_passed(client, run, outcome)
        done = time.time()
    told = (await client.details(outcome.jobs[0]))["t_finished"]
    ended = datetime.fromisoformat(told).replace(tzinfo=UTC).timestamp()
    return _Round(submitted - begun, ended - submitted, max(0.0, seen - ended), done - max(seen, ended))


def _unheard(progress: Progress) -> None:
    """Asked for and not shown: what a release asks the server for its line on the screen costs here too."""


@asynccontextmanager
async def _server(disks: int) -> AsyncIterator[tuple[Reach, OpenQA]]:
    files = dag.container().from_(DEBIAN).with_workdir("/srv")
    for number in range(disks):
        files = files.with_new_file(f"/srv/os-{number:012x}.qcow2", f"no disk {number} of {uuid4().hex}")
    web = files.with_exposed_port(8080).as_service(args=["python3", "-m", "http.server", "8080"])
    service = openqa(dag.host().directory(str(MODULE / "ci/lab")), {"files": web})
    tunnel = await dag.host().tunnel(service).start()
    key, _, secret = OPENQA_AUTH.partition(":")
    async with OpenQA(_URL, key, secret, address=await tunnel.endpoint()) as client:
        yield Reach({"openqa": service}), client
    await tunnel.stop()
