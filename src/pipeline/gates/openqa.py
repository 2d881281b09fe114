"""The openQA gate: the very disk that booted goes through the full run."""

import time
from pathlib import Path

from pipeline.config import Image, Upload, architecture
from pipeline.config import OpenQA as Server
from pipeline.containers.disk_store import fetch_disk, upload_disk
from pipeline.containers.given import require
from pipeline.containers.openqa_cli import key_and_secret, schedule
from pipeline.domain import Digest
from pipeline.errors import PreconditionError, UsageError
from pipeline.gates import evidence
from pipeline.gates.evidence import GateRun, Proof
from pipeline.gates.subject import Subject
from pipeline.openqa.client import OpenQA
from pipeline.openqa.gate import GateOutcome, Limits, Submission, find_run, run_gate, still_passed
from pipeline.openqa.submission import Order
from pipeline.openqa.verdict import Expectation
from pipeline.policy.tags import ReleaseTag
from pipeline.registry.evidence import DiskRecord
from pipeline.report.model import Check, Result
from pipeline.upload.key import object_key
from pipeline.world import World


async def openqa_gate(world: World, subject: Subject, tag: ReleaseTag, tested: Proof, command: str) -> GateRun:
    """For each platform: the tested disk, uploaded, through one openQA run; all of them must pass."""
    server, target = _configured(world)
    await require(world.given.source, {"gates.stable.openqa.scenarios": server.scenarios})
    image, digest = subject.image, subject.candidate.digest
    start, folder = time.monotonic(), evidence.new_folder()
    checks, inputs = list[Check](), dict[str, str]()
    outcome = None
    for platform in image.platforms:
        record = _disk(tested, image, digest, platform)
        disk = await fetch_disk(world.reach, image.repository, record)
        key = object_key(image.name, str(tag.version), architecture(platform), digest)
        uploaded = await upload_disk(world.reach, target, world.given.upload_auth, disk, key)
        order = await _order(world, server, subject, tag, platform, f"{target.public_url}/{key}")
        outcome = await _run(world, server, order, folder / f"openqa-{architecture(platform)}")
        several = f"{architecture(platform)}/" if len(image.platforms) > 1 else ""
        checks += [check.model_copy(update={"name": several + check.name}) for check in outcome.checks]
        inputs |= {several + name: value for name, value in (uploaded | outcome.inputs).items()}
        inputs[f"{several}disk sha256"] = record.sha256.hex
        if outcome.outcome.exit_code:
            break
    if outcome is None:
        raise UsageError(f"images.{image.name} has no platform; expected at least one.")
    result = Result(
        command=command,
        outcome=outcome.outcome,
        reason=outcome.reason,
        image=image.name,
        repository=str(image.repository),
        digest=digest,
        commit=subject.candidate.commit,
        tag=tag.tag,
        checks=checks,
        inputs=inputs,
        duration=time.monotonic() - start,
    )
    return GateRun(result, folder)


async def _run(world: World, server: Server, order: Order, folder: Path) -> GateOutcome:
    """Adopt the run of this BUILD when there is one, else submit; then wait for the verdict."""
    auth = await key_and_secret(world.given.openqa_auth, "openqa-auth")
    expected = Expectation.of(order, jobs=server.expect_jobs, accept_softfailed=server.accept_softfailed)
    key, secret = auth or ("", "")
    async with OpenQA(server.url, key, secret, address=world.address(server.url)) as client:
        submission = await find_run(client, order, expected)
        if submission is None:
            submission = Submission(await schedule(world.reach, server.url, auth, order), expected)
        outcome = await run_gate(client, submission, folder, Limits(server.timeout, server.pickup_timeout, server.poll))
        if not outcome.outcome.exit_code and not await still_passed(client, submission, outcome):
            raise PreconditionError("openQA's jobs changed after they had passed; run again to judge them anew.")
        return outcome


def _configured(world: World) -> tuple[Server, Upload]:
    gate = world.config.gates.stable
    if gate.openqa is None or gate.upload is None:
        missing = "openqa" if gate.openqa is None else "upload"
        raise UsageError(
            f"pipeline.toml has no gates.stable.{missing}: expected openqa = {{ url = … }} and upload = {{ url = …, "
            "public_url = … }. Without its gate no image becomes stable."
        )
    return gate.openqa, gate.upload


def _disk(tested: Proof, image: Image, digest: Digest, platform: str) -> DiskRecord:
    record = tested.evidence.disks.get(platform)
    if record is None:
        raise PreconditionError(
            f"The testing evidence of {image.repository.at(digest)} names no disk for {platform}; it has "
            f"{', '.join(tested.evidence.disks) or 'none'}. Run promote-testing again for this commit."
        )
    return record


async def _order(world: World, server: Server, subject: Subject, tag: ReleaseTag, platform: str, url: str) -> Order:
    version = str(tag.version)
    scenarios = await world.given.source.file(server.scenarios).contents() if server.scenarios else ""
    return Order(
        distri=server.distri,
        flavor=server.flavor,
        version=server.version.format(version=version),
        arch=server.arch.get(platform, architecture(platform)),
        release=version,
        digest=subject.candidate.digest,
        disk_url=url,
        scenarios=scenarios,
        test=server.test or "",
        extra=server.settings,
    )
