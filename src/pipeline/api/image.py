"""An image of pipeline.toml, its candidates, and what their gates left: objects to chain."""

import dagger
from dagger import field

from pipeline.api.arguments import (
    AllowOlder,
    Gate,
    OverrideHold,
    PlatformName,
    PublicKey,
    Reference,
    TagName,
    WhichGate,
)
from pipeline.api.calls import acting, api_object, lasting, opened
from pipeline.api.commands import Commands
from pipeline.api.results import CommandResult, GateCheck
from pipeline.commands import reproduce, status
from pipeline.containers.disk_store import fetch_disk
from pipeline.domain import Digest, Outcome, Repository
from pipeline.gates.evidence import unpacked
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.registry.evidence import DiskRecord, Evidence, StoredEvidence
from pipeline.world import Given, World


@api_object
class Report:
    """The evidence of one gate on one digest."""

    given: Given
    image: str
    subject: str
    digest: str = field()
    """Of the evidence, which is never written again"""
    gate: Gate = field()
    outcome: Outcome = field()
    reason: str = field()
    checks: list[GateCheck] = field()

    @lasting
    async def files(self) -> dagger.Directory:
        """The whole report: result.json, summary.md, junit.xml, report.html, logs, console, screenshots."""
        async with opened("evidence", self.given, [self.image]) as world:
            (image,) = world.images
            archive = await status.fetch_report_of(world, image, Digest(self.subject), Digest(self.digest))
            return unpacked({image.name: archive})


@api_object
class Disk:
    """The very disk that a testing gate booted."""

    given: Given
    image: str
    subject: str
    platform: dagger.Platform = field()
    sha256: str = field()
    size: int = field()
    """Bytes"""
    builder: str = field()
    """The image that built it, by digest"""
    manifest: str
    repository: str

    @lasting
    async def file(self) -> dagger.File:
        """The disk itself (qcow2), verified while it comes in."""
        async with opened("disk", self.given, [self.image]) as world:
            record = DiskRecord(
                sha256=Digest(self.sha256), size=self.size, manifest=Digest(self.manifest), builder=self.builder
            )
            return await fetch_disk(world.reach, Repository.parse(self.repository), record)

    @acting
    async def boot(self, public_key: PublicKey) -> dagger.Service:
        """Boot it as its gate did: SSH on port 2222, the serial console on port 2223."""
        async with opened("reproduce", self.given, [self.image]) as world:
            return await reproduce.reproduce(world, self.subject, self.platform, public_key)


@api_object
class Candidate:
    """One digest of an image, with the commit that it was built from."""

    given: Given
    image: str
    digest: str = field()
    revision: str = field()
    """The commit; empty when its labels name none"""

    @acting
    async def disk(self, platform: PlatformName = None) -> Disk:
        """The disk that its newest testing gate booted."""
        async with opened("disk", self.given, [self.image]) as world:
            (image,) = world.images
            wanted = reproduce.platform_of(world, image, platform or "")
            record = await reproduce.disk_record(world, image, Digest(self.digest), wanted)
            return Disk(
                given=self.given,
                image=self.image,
                subject=self.digest,
                platform=dagger.Platform(wanted),
                sha256=record.sha256,
                size=record.size,
                builder=record.builder,
                manifest=record.manifest,
                repository=str(image.repository),
            )

    @acting
    async def evidence(self, gate: WhichGate = Gate.AUTO) -> Report:
        """The newest evidence of a gate, passed or failed; of the hardest gate that it met by default."""
        async with opened("evidence", self.given, [self.image]) as world:
            (image,) = world.images
            stored = await status.find_gate_evidence(world, image, Digest(self.digest), self.digest, gate.channel)
            return self._report(stored)

    @acting
    async def gate(self) -> CommandResult:
        """Build the disk and boot it without promoting; `report` has the logs."""
        return await Commands(given=self.given).gate_testing(self.digest, [self.image])

    def _report(self, stored: StoredEvidence) -> Report:
        found: Evidence = stored.evidence
        return Report(
            given=self.given,
            image=self.image,
            subject=self.digest,
            digest=stored.digest,
            gate=Gate(found.gate.value),
            outcome=found.verdict or found.result.outcome,
            reason=found.result.reason,
            checks=[GateCheck.of(check) for check in found.result.checks],
        )


@api_object
class OsImage:
    """One image of pipeline.toml."""

    given: Given
    name: str = field()

    @acting
    async def candidate(self, ref: Reference) -> Candidate:
        """The digest that a digest, channel, version tag or commit names."""
        async with opened("candidate", self.given, [self.name]) as world:
            return await self._candidate(world, ref)

    @acting
    async def promote(
        self, tag: TagName, allow_older: AllowOlder = False, override_hold: OverrideHold = False
    ) -> CommandResult:
        """Promote a pushed tag: vX.Y.Z-test to testing, vX.Y.Z to stable."""
        commands = Commands(given=self.given)
        promotion = commands.promote_testing if "-test" in tag else commands.promote_stable
        return await promotion(tag, [self.name], allow_older, override_hold)

    async def _candidate(self, world: World, reference: str) -> Candidate:
        (image,) = world.images
        digest = await status.resolve(world, image, reference)
        labels = await world.repository(image).labels(digest)
        return Candidate(given=self.given, image=self.name, digest=digest, revision=labels.get(REVISION_LABEL, ""))
