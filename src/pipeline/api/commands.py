"""Every command once more, for modules: the result is an object, and a failed gate is an answer, not an error."""

import json
from collections.abc import Awaitable, Callable

import dagger

from pipeline.api.arguments import (
    AllowOlder,
    Anchors,
    Another,
    Archives,
    BuiltFrom,
    CandidateDigest,
    ChannelName,
    Channels,
    CheckNames,
    Confirm,
    Containers,
    Driver,
    EachPlatform,
    Followed,
    GatedBefore,
    Holds,
    Images,
    Keep,
    Layouts,
    MustPush,
    OldRepository,
    OldStableRepository,
    OverrideHold,
    PlatformName,
    Reason,
    Reference,
    References,
    TagName,
    Target,
    Token,
)
from pipeline.api.calls import Act, acting, api_object, json_of, opened, results_of
from pipeline.api.results import Answer, CommandResult
from pipeline.commands import (
    anchor,
    doctor,
    history,
    import_from,
    matrix,
    notes,
    plan,
    policy,
    prune,
    reproduce,
    rollback,
    status,
    verify,
)
from pipeline.containers.podman import Delivered
from pipeline.containers.secrets import read_secret
from pipeline.domain import Channel, Outcome, Refresh
from pipeline.ending import CallFailed
from pipeline.gates.evidence import GateRun, report_directory
from pipeline.registry.retention import DriverKind
from pipeline.report.model import Result
from pipeline.report.notes import notes_text
from pipeline.stages import next as next_
from pipeline.stages import stable, testing
from pipeline.world import Given, World


@api_object
class Commands:
    """The commands, with their results as objects."""

    given: Given

    @acting
    async def build_next(
        self, image: Images = None, must_push: MustPush = False, refresh: Another = Refresh.NONE
    ) -> CommandResult:
        """Build the checked-out commit, lint and test it, push :<commit>, move :next."""
        return await self._result(
            "build-next", image, lambda world: next_.build_next(world, must_push=must_push, refresh=refresh)
        )

    @acting
    async def submit_next(
        self,
        reference: References = None,
        archive: Archives = None,
        layout: Layouts = None,
        container: Containers = None,
        commit: BuiltFrom = "",
        image: Images = None,
        must_push: MustPush = False,
    ) -> CommandResult:
        """Take an image that was built elsewhere: lint and test it, push it as it is to :<commit>, move :next."""
        exported = [one.as_tarball(media_types=dagger.ImageMediaTypes.OCIMediaTypes) for one in container or []]
        delivered = Delivered(reference or [], [*(archive or []), *exported], layout or [])
        return await self._result(
            "submit-next",
            image,
            lambda world: next_.submit_next(world, delivered, commit, must_push=must_push),
        )

    @acting
    async def gate_next(self, image: Images = None) -> CommandResult:
        """Build, lint and test without pushing; `report` has the logs."""
        return await self._gate("gate-next", image, next_.gate_next)

    @acting
    async def promote_testing(
        self,
        tag: TagName,
        image: Images = None,
        allow_older: AllowOlder = False,
        override_hold: OverrideHold = False,
        digest: CandidateDigest = "",
        gated: GatedBefore = False,
    ) -> CommandResult:
        """Boot the disk of the tagged commit's image in QEMU, then move :vX.Y.Z-test and :testing."""
        return await self._result(
            "promote-testing",
            image,
            lambda world: testing.promote_testing(
                world,
                tag,
                digest=digest,
                allow_older=allow_older,
                override_hold=override_hold,
                gated_before=gated,
            ),
        )

    @acting
    async def gate_testing(self, ref: Reference, image: Images = None, keep: Keep = False) -> CommandResult:
        """Build the disk and boot it without promoting; `report` has the logs."""
        return await self._gate("gate-testing", image, lambda world: testing.gate_testing(world, ref, keep=keep))

    @acting
    async def check_again(
        self, ref: Reference, check: CheckNames, platform: PlatformName = None, image: Images = None
    ) -> CommandResult:
        """Boot the very disk that testing booted and make only these checks."""

        async def again(world: World) -> list[Result]:
            return [await reproduce.check_again(world, ref, platform or "", check)]

        return await self._result("check-again", image, again)

    @acting
    async def promote_stable(
        self, tag: TagName, image: Images = None, allow_older: AllowOlder = False, override_hold: OverrideHold = False
    ) -> CommandResult:
        """Take the tested disk through the full openQA run, then move :vX.Y.Z and :stable."""
        return await self._result(
            "promote-stable",
            image,
            lambda world: stable.promote_stable(world, tag, allow_older=allow_older, override_hold=override_hold),
        )

    @acting
    async def plan(
        self, tag: TagName, image: Images = None, allow_older: AllowOlder = False, digest: CandidateDigest = ""
    ) -> Answer:
        """Show what promoting this tag would move, on what evidence, with which commits and packages; do nothing."""
        async with opened("plan", self.given, image) as world:
            outlooks = await plan.plan(world, tag, digest=digest, allow_older=allow_older)
            return Answer.of(plan.plan_text(outlooks), json_of(outlooks))

    @acting
    async def notes(self, tag: TagName, image: Images = None) -> Answer:
        """Write the release notes of a version: commits, packages, digests, what its gates found, how to check it."""
        async with opened("notes", self.given, image) as world:
            found = await notes.notes(world, tag)
            return Answer.of(notes_text(found), json_of(found))

    @acting
    async def matrix(self, each_platform: EachPlatform = False, image: Images = None) -> Answer:
        """Print images and platforms as JSON, for the matrix of a CI workflow with a job for each."""
        async with opened("matrix", self.given, image) as world:
            cells = json.dumps(matrix.matrix(world, each_platform=each_platform))
            return Answer.of(cells, cells)

    @acting
    async def doctor(self, image: Images = None) -> CommandResult:
        """Look whether a release could go through: engine, privileges, KVM, disk space, registry, openQA, clocks."""

        async def examine(world: World) -> list[Result]:
            return [await doctor.doctor(world)]

        return await self._result("doctor", image, examine)

    @acting
    async def status(self, image: Images = None) -> Answer:
        """Show the channels: digest, version, age, evidence, how far next is ahead."""
        async with opened("status", self.given, image) as world:
            found = {one.place: await status.channels(world, one) for one in world.images}
            return Answer.of(status.status_text(found), json_of(found))

    @acting
    async def history(self, channel: ChannelName, image: Images = None) -> Answer:
        """Show every recorded move of a channel, newest first: when, from where to where, by whom, why."""
        async with opened("history", self.given, image) as world:
            found = {one.place: await history.history(world, one, channel) for one in world.images}
            refused = world.notary.refusals(channel)
            return Answer.of(history.history_text(found, refused), json_of(found))

    @acting
    async def why(self, ref: Reference, image: Images = None) -> Answer:
        """Explain a tag or digest: its commit, its tags, what each gate found, every move it was part of."""
        async with opened("why", self.given, image) as world:
            found = [await history.why(world, one, ref) for one in world.images]
            return Answer.of("\n\n".join(map(history.why_text, found)), json_of(found))

    @acting
    async def verify(self, channel: Channels = None, anchor: Anchors = None, image: Images = None) -> CommandResult:
        """Derive again from git, evidence and ledger whether each channel may point where it points."""
        return await self._result(
            "verify", image, lambda world: verify.verify(world, channel or list(Channel), anchor or [])
        )

    @acting
    async def anchor(self, channel: Channels = None, image: Images = None) -> Answer:
        """Print the newest entry of each ledger as one signed line, to be kept as the message of a git tag."""
        async with opened("anchor", self.given, image) as world:
            line = await anchor.anchor(world, channel or list(Channel))
            return Answer.of(line, line)

    @acting
    async def policy(self, channel: Followed, image: Images = None) -> Answer:
        """Print what makes podman and bootc refuse a channel that no release moved: policy.json and registries.d."""
        async with opened("policy", self.given, image) as world:
            found = policy.policy(world, channel)
            return Answer.of(policy.policy_text(found), json_of(found))

    @acting
    async def rollback(
        self, channel: ChannelName, reason: Reason, to: Target = "", image: Images = None
    ) -> CommandResult:
        """Take a channel back to a digest that passed its gate, record why, and hold it there."""
        return await self._result("rollback", image, lambda world: rollback.rollback(world, channel, to, reason))

    @acting
    async def hold(self, channel: ChannelName, reason: Reason, image: Images = None) -> CommandResult:
        """Keep promotions away from a channel until release-hold."""
        return await self._result("hold", image, lambda world: rollback.hold(world, channel, reason))

    @acting
    async def release_hold(
        self, channel: ChannelName, reason: Reason = "", hold: Holds = None, image: Images = None
    ) -> CommandResult:
        """Let promotions move a channel again after a hold or a rollback."""
        return await self._result(
            "release-hold", image, lambda world: rollback.release_hold(world, channel, reason, hold or [])
        )

    @acting
    async def record_loss(self, channel: ChannelName, reason: Reason, image: Images = None) -> CommandResult:
        """Say that entries of a ledger are gone for good, so that the rest counts again; holds the channel."""
        return await self._result("record-loss", image, lambda world: rollback.record_loss(world, channel, reason))

    @acting
    async def import_from(
        self, repository: OldRepository, stable_repository: OldStableRepository = "", image: Images = None
    ) -> CommandResult:
        """Take an image over from another repository: tags, evidence, disks, signatures and ledger; then verify."""
        return await self._result(
            "import-from", image, lambda world: import_from.import_from(world, repository, stable_repository)
        )

    @acting
    async def prune(
        self,
        confirm: Confirm = False,
        driver: Driver = DriverKind.AUTO,
        token: Token = None,
        image: Images = None,
    ) -> Answer:
        """Delete what cannot be reached from a kept tag and is old enough; a plan unless confirmed."""
        async with opened("prune", self.given, image) as world:
            plain = await read_secret(token, "token") if token else None
            reports = await prune.prune(world, confirm=confirm, driver=driver, token=plain)
            text = "\n\n".join(filter(None, (report.text() for report in reports)))
            if code := next((report.exit_code for report in reports if report.exit_code), 0):
                raise CallFailed("prune", next(outcome for outcome in Outcome if outcome.exit_code == code), text)
            return Answer.of(text, json_of(reports))

    async def _result(self, command: str, images: list[str] | None, act: Act) -> CommandResult:
        return CommandResult.of(await results_of(command, self.given, images, act))

    async def _gate(
        self, command: str, images: list[str] | None, gate: Callable[[World], Awaitable[list[GateRun]]]
    ) -> CommandResult:
        runs: list[GateRun] = []

        async def act(world: World) -> list[Result]:
            runs.extend(await gate(world))
            return [run.result for run in runs]

        results = await results_of(command, self.given, images, act)
        return CommandResult.of(results, report_directory(runs) if runs else None)
