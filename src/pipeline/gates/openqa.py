"""The openQA gate: the very disk that booted goes through the full run."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import anyio
import dagger

from pipeline.config import QCOW2, Upload, architecture
from pipeline.config import OpenQA as Server
from pipeline.containers.disk_store import fetch_disk, upload_disk
from pipeline.containers.openqa_cli import key_and_secret, schedule
from pipeline.each import each
from pipeline.errors import PipelineError, PreconditionError, UsageError
from pipeline.gates import evidence
from pipeline.gates.evidence import GateRun, Proof
from pipeline.gates.outputs import named, platform_and_kind
from pipeline.gates.room import room_for
from pipeline.gates.shown import Shown
from pipeline.gates.subject import Subject
from pipeline.openqa.client import OpenQA
from pipeline.openqa.gate import GateOutcome, Limits, run_gate, still_passed
from pipeline.openqa.release import keep_results, tags_of
from pipeline.openqa.runs import acknowledge, created, find_run
from pipeline.openqa.submission import Order, file_name
from pipeline.openqa.verdict import Expectation, Scenario
from pipeline.policy.platforms import short_name
from pipeline.policy.room import to_release
from pipeline.policy.tags import ReleaseTag
from pipeline.policy.template import filled
from pipeline.registry.evidence import DiskRecord
from pipeline.report.model import Check, Phase, Result
from pipeline.upload.key import asset_key, object_key
from pipeline.world import World

_KEEPING_DEADLINE = 180.0
"""Seconds for the comments after a promotion, which nobody waits for."""


@dataclass(frozen=True)
class _Part:
    """One disk and one flavor: a submission of its own."""

    platform: str
    flavor: str
    name: str
    """Before the names of its checks and inputs; empty when it is the only one."""
    folder: str
    """Where its proof lies in the report."""


@dataclass(frozen=True)
class _Ran:
    """What came of a part."""

    part: _Part
    outcome: GateOutcome
    inputs: dict[str, str]
    begun: float
    ended: float
    """Both on the monotonic clock."""

    @property
    def checks(self) -> list[Check]:
        """Each with the name of the part."""
        return [check.model_copy(update={"name": self.part.name + check.name}) for check in self.outcome.checks]

    def phases(self, start: float) -> list[Phase]:
        """The run on a timeline that begins at `start`."""
        seen = max(self.begun, self.ended - self.outcome.after)
        return [
            Phase(name=f"{self.part.name}openQA", start=self.begun - start, end=seen - start),
            Phase(name=f"{self.part.name}verdict and proof", start=seen - start, end=self.ended - start),
        ]


async def openqa_gate(world: World, subject: Subject, tag: ReleaseTag, tested: Proof, command: str) -> GateRun:
    """Every tested disk, uploaded, through a full openQA run, side by side; all of them must pass."""
    start, folder = time.monotonic(), evidence.new_folder()
    server, target = _configured(world)
    scenarios = await read_scenarios(world, server)

    async def asset_there(name: str) -> str:
        return await _asset(world, target, name, server.assets[name])

    async def disk_there(platform: str) -> tuple[str, dict[str, str]]:
        return await _uploaded(world, target, subject, tag, _disk(tested, subject, platform), platform)

    async def ran(part: _Part) -> _Ran:
        begun = time.monotonic()
        url, inputs = uploads[part.platform]
        order = _order(server, subject, tag, part, url, _disk(tested, subject, part.platform), scenarios, assets)
        outcome = await _run(world, server, order, folder / part.folder, part.name)
        return _Ran(part, outcome, inputs | outcome.inputs, begun, time.monotonic())

    platforms: Sequence[str] = world.config.booted(subject.image)
    assets = dict(zip(server.assets, await each(server.assets, asset_there), strict=True))
    disks = sum(record.size for record in tested.evidence.disks.values())
    async with room_for(world, to_release(subject.image.name, disks)) as room:
        uploads = dict(zip(platforms, await each(platforms, disk_there), strict=True))
    beside = [key for key in tested.evidence.disks if platform_and_kind(key)[1] != QCOW2]

    async def also_there(key: str) -> dict[str, str]:
        platform, kind = platform_and_kind(key)
        record = tested.evidence.disks[key]
        _, inputs = await _uploaded(world, target, subject, tag, record, platform)
        return {f"{named(platform, kind)}: {name}": value for name, value in inputs.items()}

    others = await each(beside, also_there)
    uploaded = time.monotonic()
    parts = await each(_parts(server, platforms), ran)
    result = Result(
        command=command,
        outcome=_worst(parts).outcome,
        reason=_reason(parts),
        image=subject.image.name,
        repository=str(subject.image.repository),
        digest=subject.candidate.digest,
        commit=subject.candidate.commit,
        tag=tag.tag,
        checks=[check for one in parts for check in one.checks],
        timeline=[
            Phase(name="disks to the store", start=0.0, end=uploaded - start),
            *(phase for one in parts for phase in one.phases(start)),
        ],
        inputs=room
        | {f"asset {name}": url for name, url in assets.items()}
        | {one.part.name + name: value for one in parts for name, value in one.inputs.items()}
        | {name: value for found in others for name, value in found.items()},
        duration=time.monotonic() - start,
    )
    return GateRun(result, folder)


def _worst(parts: Sequence[_Ran]) -> GateOutcome:
    return next((one.outcome for one in parts if one.outcome.outcome.exit_code), parts[0].outcome)


def _reason(parts: Sequence[_Ran]) -> str:
    worst = _worst(parts)
    return worst.reason if worst.outcome.exit_code else "; ".join(one.outcome.reason for one in parts)


async def keep_openqa_results(world: World, results: list[Result], tag: ReleaseTag) -> list[str]:
    """After the promotion: openQA keeps the runs as long as the release; return what could not be done.

    Args:
        results: the evidence of the stable gate, of this run or of one before it.
        tag: of the release.

    Never raises a PipelineError: the release has happened.
    """
    server, version = world.config.gates.stable.openqa, str(tag.version)
    if server is None or world.given.openqa_auth is None:
        return []
    missing = list[str]()
    try:
        with anyio.fail_after(_KEEPING_DEADLINE):
            async with await _client(world, server) as client:
                for result in results:
                    text = (
                        f"{result.image} {version} was promoted: {result.repository}@{result.digest}, {result.commit}"
                    )
                    missing += await keep_results(client, tags_of(result.inputs, version), text)
    except (PipelineError, TimeoutError) as error:
        missing.append(f"openQA was not told of the whole release: {error or 'it took too long'}")
    return missing


async def _run(world: World, server: Server, order: Order, folder: Path, name: str) -> GateOutcome:
    """Adopt the run of this order when there is one, else submit; then wait for the verdict."""
    auth = await key_and_secret(world.given.openqa_auth, "openqa-auth")
    expected = Expectation.of(
        order,
        jobs=server.expect_jobs,
        accept_softfailed=server.accept_softfailed,
        scenarios={name: Scenario(job.required, job.accept_softfailed) for name, job in server.jobs.items()},
        waivers=world.config.waivers,
        today=datetime.now(UTC).date(),
        trackers=server.bug_references,
    )
    async with await _client(world, server) as client:
        submission = await find_run(client, order, expected)
        if submission is None:
            answer = await schedule(world.reach, server.url, auth, order)
            answer = await created(client, answer, server.pickup_timeout, server.poll)
            submission = await acknowledge(client, order, answer, expected)
        limits = Limits(server.timeout, server.pickup_timeout, server.poll, cancel=not server.leave_jobs)
        with Shown(name) as shown:
            outcome = await run_gate(client, submission, folder, limits, shown, video=server.video)
        if not outcome.outcome.exit_code and not await still_passed(client, submission, outcome):
            raise PreconditionError("openQA's jobs changed after they had passed; run again to judge them anew.")
        return outcome


async def _client(world: World, server: Server) -> OpenQA:
    auth = await key_and_secret(world.given.openqa_auth, "openqa-auth")
    return OpenQA(server.url, *(auth or ("", "")), address=world.address(server.url))


async def _uploaded(
    world: World, target: Upload, subject: Subject, tag: ReleaseTag, record: DiskRecord, platform: str
) -> tuple[str, dict[str, str]]:
    """The address at which openQA finds the disk, and what was found out about the file."""
    image, machine = subject.image, short_name(platform)
    disk = await fetch_disk(world.reach, image.repository, record)
    key = object_key(image.name, str(tag.version), machine, subject.candidate.digest, record.sha256, record.format)
    inputs = await upload_disk(world.reach, target, world.given.upload_auth, disk, key, record.sha256.hex)
    return f"{target.public_url}/{key}", inputs | {"disk sha256": record.sha256.hex}


async def _asset(world: World, target: Upload, name: str, path: str) -> str:
    """The address at which openQA finds a file of the repository."""
    content = await world.history.tree(path)
    if not content:
        raise UsageError(
            f"gates.stable.openqa.assets.{name} is {path!r}, which is not in the commit. Name a file of it."
        )
    key = asset_key(path, content)
    await upload_disk(world.reach, target, world.given.upload_auth, world.given.source.file(path), key)
    return f"{target.public_url}/{key}"


def _parts(server: Server, platforms: Sequence[str]) -> list[_Part]:
    made = []
    for platform in platforms:
        for flavor in server.flavors:
            machine, plain = short_name(platform), re.sub(r"[^A-Za-z0-9_.]+", "_", flavor)
            name = f"{machine}/" if len(platforms) > 1 else ""
            folder = f"openqa-{machine}"
            if len(server.flavors) > 1:
                name, folder = f"{name}{flavor}/", f"{folder}-{plain}"
            made.append(_Part(platform, flavor, name, folder))
    return made


def _configured(world: World) -> tuple[Server, Upload]:
    gate = world.config.gates.stable
    if gate.openqa is None or gate.upload is None:
        missing = "openqa" if gate.openqa is None else "upload"
        raise UsageError(
            f"pipeline.toml has no gates.stable.{missing}: expected openqa = {{ url = … }} and upload = {{ url = …, "
            "public_url = … }. Without its gate no image becomes stable."
        )
    if world.given.openqa_auth is None:
        raise UsageError(_no_login("openqa-auth", gate.openqa.url, "OPENQA_AUTH"))
    if world.given.upload_auth is None and gate.upload.asks_for_login:
        raise UsageError(_no_login("upload-auth", gate.upload.url, "UPLOAD_AUTH"))
    return gate.openqa, gate.upload


def _no_login(argument: str, server: str, variable: str) -> str:
    return (
        f"--{argument} is not given, and {server} takes nothing without it: expected --{argument}=env://{variable}, "
        "whose text is KEY:SECRET. Nothing was uploaded, and nothing has moved."
    )


def _disk(tested: Proof, subject: Subject, platform: str) -> DiskRecord:
    record = tested.evidence.disks.get(platform)
    if record is None:
        raise PreconditionError(
            f"The testing evidence of {subject.image.repository.at(subject.candidate.digest)} names no disk for "
            f"{platform}; it has {', '.join(tested.evidence.disks) or 'none'}. Run promote-testing again for this "
            "commit."
        )
    return record


async def read_scenarios(world: World, server: Server) -> str:
    """The scenario definitions of the repository, read before anything is uploaded; empty when there are none."""
    if server.scenarios is None:
        return ""
    try:
        return await world.given.source.file(server.scenarios).contents()
    except dagger.QueryError as error:
        raise UsageError(
            f"gates.stable.openqa.scenarios is {server.scenarios!r}, which cannot be read from the source: {error}. "
            "Expected a file of scenario definitions; without the key the server's own job templates decide."
        ) from error


def _order(
    server: Server,
    subject: Subject,
    tag: ReleaseTag,
    part: _Part,
    url: str,
    disk: DiskRecord,
    scenarios: str,
    assets: Mapping[str, str],
) -> Order:
    arch = server.arch.get(part.platform, architecture(part.platform))
    values = {
        "disk_url": url,
        "disk_name": file_name(url),
        "version": str(tag.version),
        "digest": subject.candidate.digest,
        "commit": subject.candidate.commit,
        "arch": arch,
        "image": subject.image.name,
    }
    return Order(
        distri=server.distri,
        flavor=part.flavor,
        version=filled(server.version, values),
        arch=arch,
        release=str(tag.version),
        digest=subject.candidate.digest,
        disk_url=url,
        disk_sha256=disk.sha256,
        scenarios=scenarios,
        test=server.test or "",
        extra={name: filled(value, values) for name, value in server.settings.items()}
        | {name: file_name(address) for name, address in assets.items()}
        | {f"{name}_URL": address for name, address in assets.items()},
        asset=server.asset,
        background=server.in_background,
    )
