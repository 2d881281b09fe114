"""The Dagger API and nothing else: arguments in, stage call, report out."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import dagger
from dagger import Doc, enum_type, function, object_type
from pydantic import TypeAdapter

from pipeline.commands import doctor, history, init, plan, prune, reproduce, rollback, run_stage, status, verify
from pipeline.containers.secrets import read_secret
from pipeline.domain import Channel, Outcome
from pipeline.ending import CallFailed, broken_off
from pipeline.gates.evidence import GateRun, report_directory, run_directory, unpacked
from pipeline.lab import lab as surroundings
from pipeline.lab import lab_files
from pipeline.report.model import Result
from pipeline.report.release import merge
from pipeline.report.text import result_text
from pipeline.stages import next as next_
from pipeline.stages import stable, testing
from pipeline.world import Given, World, open_world

Method = TypeVar("Method", bound=Callable[..., Any])


def acting(method: Method) -> Method:
    """A function of the API that acts on the world outside: its result is never taken from a cache."""
    decorated: Method = function(method, cache="never")  # type: ignore[call-overload] # the SDK's overloads forget it
    return decorated


Reference = Annotated[str, Doc("A digest, channel, version tag or commit")]
PlatformName = Annotated[str, Doc("As in linux/amd64; the image's first by default")]
TagName = Annotated[str, Doc("The pushed git tag")]
Images = Annotated[list[str] | None, Doc("Only these images of pipeline.toml; all of them otherwise")]
AllowOlder = Annotated[bool, Doc("Take a version that is not above what the channel, or stable, is at")]
OverrideHold = Annotated[bool, Doc("Move the channel although it is on hold")]
enum_type(Channel)
ChannelName = Annotated[Channel, Doc("Which channel")]
MaybeChannel = Annotated[str, Doc("next, testing or stable; all of them by default")]
AsJson = Annotated[bool, Doc("The same content for machines")]
FailGate = Annotated[bool, Doc("End with the gate's exit code when it did not pass, as a pull request wants it")]

_NOT_SOURCE = [".venv", "**/__pycache__"]


@object_type
class BootcPipeline:
    """Moves a bootc OS image from next through testing to stable: by digest, never rebuilt, each channel gated."""

    source: dagger.Directory
    registry_auth: dagger.Secret | None = None
    registry: dagger.Service | None = None
    openqa_auth: dagger.Secret | None = None
    openqa: dagger.Service | None = None
    upload_auth: dagger.Secret | None = None
    store: dagger.Service | None = None
    actor: str = ""

    @classmethod
    def create(
        cls,
        workspace: dagger.Workspace,
        source: Annotated[
            dagger.Directory | None,
            Doc("The repository with pipeline.toml, its .git folder included; the one you stand in by default"),
        ] = None,
        registry_auth: Annotated[dagger.Secret | None, Doc("Docker's config.json with the registry's login")] = None,
        registry: Annotated[dagger.Service | None, Doc("The registry, where only the caller reaches it")] = None,
        openqa_auth: Annotated[dagger.Secret | None, Doc("KEY:SECRET of openQA")] = None,
        openqa: Annotated[dagger.Service | None, Doc("The openQA server, where only the caller reaches it")] = None,
        upload_auth: Annotated[dagger.Secret | None, Doc("KEY:SECRET of the object store, or USER:PASSWORD")] = None,
        store: Annotated[dagger.Service | None, Doc("The object store, where only the caller reaches it")] = None,
        actor: Annotated[str, Doc("Who asks, for the promotion record")] = "",
    ) -> Self:
        """Without a source it is the caller's repository, never that of this module."""
        arguments: dict[str, Any] = {
            "source": source or workspace.directory("/", exclude=_NOT_SOURCE),
            "registry_auth": registry_auth,
            "registry": registry,
            "openqa_auth": openqa_auth,
            "openqa": openqa,
            "upload_auth": upload_auth,
            "store": store,
            "actor": actor,
        }
        return cls(**arguments)

    @acting
    async def build_next(
        self,
        image: Images = None,
        must_push: Annotated[bool, Doc("Fail when the tree would not be pushed")] = False,
        as_json: AsJson = False,
    ) -> str:
        """Build the checked-out commit, lint and test it, push :<commit>, move :next."""
        async with self._world("build-next", image) as world:
            return _told(await next_.build_next(world, must_push=must_push), as_json)

    @acting
    async def run_stage(
        self,
        stage: Annotated[str, Doc("build-next, gate-next, promote-testing, promote-stable or verify")],
        tag: Annotated[str, Doc("The pushed git tag, for those that promote")] = "",
        image: Images = None,
    ) -> dagger.Directory:
        """Run a stage as a workflow does: its report, passed or failed, with the exit code in the file `exit-code`."""
        left: dict[str, Path] = {}
        try:
            async with self._world(stage, image) as world:
                left = world.left
                results = await run_stage.run_stage(world, stage, tag)
        except CallFailed as failed:
            results = list(failed.results)
        return run_directory(results, left)

    @acting
    async def gate_next(self, image: Images = None, fail: FailGate = False) -> dagger.Directory:
        """Build, lint and test without pushing; the report, passed or failed."""
        async with self._world("gate-next", image) as world:
            return _report(await next_.gate_next(world), fail)

    @acting
    async def promote_testing(
        self,
        tag: TagName,
        image: Images = None,
        allow_older: AllowOlder = False,
        override_hold: OverrideHold = False,
        as_json: AsJson = False,
    ) -> str:
        """Boot the disk of the tagged commit's image in QEMU, then move :vX.Y.Z-test and :testing."""
        async with self._world("promote-testing", image) as world:
            results = await testing.promote_testing(world, tag, allow_older=allow_older, override_hold=override_hold)
            return _told(results, as_json)

    @acting
    async def gate_testing(
        self, ref: Annotated[str, Doc("A test tag or a digest")], image: Images = None, fail: FailGate = False
    ) -> dagger.Directory:
        """Build the disk and boot it without promoting; the report, passed or failed."""
        async with self._world("gate-testing", image) as world:
            return _report(await testing.gate_testing(world, ref), fail)

    @acting
    async def reproduce(
        self,
        ref: Reference,
        public_key: Annotated[dagger.File, Doc("Whose SSH key may log in as root, as in ~/.ssh/id_ed25519.pub")],
        platform: PlatformName = "",
        image: Images = None,
    ) -> dagger.Service:
        """Boot the very disk that testing booted: `up` puts SSH on port 2222, the serial console on port 2223."""
        async with self._world("reproduce", image) as world:
            return await reproduce.reproduce(world, ref, platform, public_key)

    @acting
    async def check_again(
        self,
        ref: Reference,
        check: Annotated[list[str], Doc("Names of checks, as the report has them")],
        platform: PlatformName = "",
        image: Images = None,
    ) -> str:
        """Boot the very disk that testing booted and make only these checks."""
        async with self._world("check-again", image) as world:
            return _told([await reproduce.check_again(world, ref, platform, check)])

    @acting
    async def promote_stable(
        self,
        tag: TagName,
        image: Images = None,
        allow_older: AllowOlder = False,
        override_hold: OverrideHold = False,
        as_json: AsJson = False,
    ) -> str:
        """Take the tested disk through the full openQA run, then move :vX.Y.Z and :stable."""
        async with self._world("promote-stable", image) as world:
            results = await stable.promote_stable(world, tag, allow_older=allow_older, override_hold=override_hold)
            return _told(results, as_json)

    @acting
    async def lab(
        self,
        key: Annotated[str, Doc("SSH public key that opens the lab")],
        name: Annotated[str, Doc("Labs of the same name share the images in their registry")] = "lab",
        full: Annotated[bool, Doc("With object store and openQA, which only the stable stage needs")] = True,
    ) -> dagger.Service:
        """Registry, object store and openQA to try things with, behind SSH; `ci/lab/up` opens their ports."""
        return await surroundings(lab_files(), name, key, full)

    @acting
    async def plan(
        self, tag: TagName, image: Images = None, allow_older: AllowOlder = False, as_json: AsJson = False
    ) -> str:
        """Show what promoting this tag would move, on what evidence, with which commits and packages; do nothing."""
        async with self._world("plan", image) as world:
            outlooks = await plan.plan(world, tag, allow_older=allow_older)
            return _json(outlooks) if as_json else plan.plan_text(outlooks)

    @acting
    async def init(
        self, address: Annotated[str, Doc("Of this module, with a version: github.com/OWNER/REPO@v1.2.3")]
    ) -> dagger.Directory:
        """What the repository lacks to use the pipeline: pipeline.toml, workflows, first tests; `export --path=.`"""
        with _ending("init"):
            return await init.init(self.source, address)

    @acting
    async def doctor(self, image: Images = None, as_json: AsJson = False) -> str:
        """Look whether a release could go through: engine, privileges, KVM, disk space, registry, openQA, clocks."""
        async with self._world("doctor", image) as world:
            return _told([await doctor.doctor(world)], as_json)

    @acting
    async def status(self, image: Images = None, as_json: AsJson = False) -> str:
        """Show the channels: digest, version, age, evidence, how far next is ahead."""
        async with self._world("status", image) as world:
            found = {str(one.repository): await status.channels(world, one) for one in world.images}
            return _json(found) if as_json else status.status_text(found)

    @acting
    async def history(self, channel: ChannelName, image: Images = None, as_json: AsJson = False) -> str:
        """Show every recorded move of a channel, newest first: when, from where to where, by whom, why."""
        async with self._world("history", image) as world:
            found = {str(one.repository): await history.history(world, one, channel) for one in world.images}
            return _json(found) if as_json else history.history_text(found)

    @acting
    async def why(
        self,
        ref: Reference,
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Explain a tag or digest: its commit, its tags, what each gate found, every move it was part of."""
        async with self._world("why", image) as world:
            found = [await history.why(world, one, ref) for one in world.images]
            return _json(found) if as_json else "\n\n".join(map(history.why_text, found))

    @acting
    async def verify(self, channel: MaybeChannel = "", image: Images = None, as_json: AsJson = False) -> str:
        """Derive again from git, evidence and ledger whether each channel may point where it points; fail when not."""
        async with self._world("verify", image) as world:
            channels = [status.channel_named(channel)] if channel else list(Channel)
            results = await verify.verify(world, channels)
            return _told(results, as_json)

    @acting
    async def rollback(
        self,
        channel: ChannelName,
        reason: Annotated[str, Doc("Why, for the record")],
        to: Annotated[str, Doc("A version tag or digest; the last one before that passed its gate by default")] = "",
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Take a channel back to a digest that passed its gate, record why, and hold it there."""
        async with self._world("rollback", image) as world:
            return _told(await rollback.rollback(world, channel, to, reason), as_json)

    @acting
    async def hold(
        self,
        channel: ChannelName,
        reason: Annotated[str, Doc("Why, for the record")],
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Keep promotions away from a channel until release-hold."""
        async with self._world("hold", image) as world:
            return _told(await rollback.hold(world, channel, reason), as_json)

    @acting
    async def release_hold(
        self,
        channel: ChannelName,
        reason: Annotated[str, Doc("Why, for the record")] = "",
        hold: Annotated[list[str] | None, Doc("The holds that end, as status shows them; needed for several")] = None,
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Let promotions move a channel again after a hold or a rollback."""
        async with self._world("release-hold", image) as world:
            return _told(await rollback.release_hold(world, channel, reason, hold or []), as_json)

    @acting
    async def prune(
        self,
        confirm: Annotated[bool, Doc("Delete what the plan says; without it, only the plan")] = False,
        why_kept: Annotated[str, Doc("Only explain why this digest stays, or why it may go")] = "",
        driver: Annotated[str, Doc("How to delete: auto (by the registry's host), oci, ghcr or quay")] = "auto",
        token: Annotated[dagger.Secret | None, Doc("Token of GitHub's or Quay's own API")] = None,
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Delete what cannot be reached from a kept tag and is old enough; a plan unless confirmed."""
        async with self._world("prune", image) as world:
            plain = await read_secret(token, "token") if token else None
            if why_kept:
                return await prune.why_kept(world, why_kept, driver=driver, token=plain)
            reports = await prune.prune(world, confirm=confirm, driver=driver, token=plain)
            text = "\n\n".join(report.text() for report in reports)
            if code := next((report.exit_code for report in reports if report.exit_code), 0):
                raise CallFailed("prune", next(outcome for outcome in Outcome if outcome.exit_code == code), text)
            return _json(reports) if as_json else text

    @acting
    async def restore(
        self,
        tag: Annotated[str, Doc("A restore list, as prune printed it; without one, the lists are shown")] = "",
        image: Images = None,
    ) -> str:
        """Push back what a prune deleted, while the registry has its layers."""
        async with self._world("restore", image) as world:
            return await prune.restore(world, tag)

    @acting
    async def evidence(
        self,
        ref: Reference,
        gate: Annotated[str, Doc("next, testing or stable; the one that the reference is about by default")] = "",
        image: Images = None,
    ) -> dagger.Directory:
        """The whole report of a gate again, passed or failed, as it is stored beside the digest."""
        async with self._world("evidence", image) as world:
            reports = {image.name: await status.find_report(world, image, ref, gate) for image in world.images}
            return unpacked(reports)

    @asynccontextmanager
    async def _world(self, command: str, images: list[str] | None) -> AsyncIterator[World]:
        """Open the outside; every error that a user can cause ends as one paragraph with its outcome."""
        given = Given(
            source=self.source,
            registry_auth=self.registry_auth,
            registry=self.registry,
            openqa_auth=self.openqa_auth,
            openqa=self.openqa,
            upload_auth=self.upload_auth,
            store=self.store,
            actor=self.actor,
        )
        with _ending(command):
            async with open_world(given, images or []) as world:
                yield world


@contextmanager
def _ending(command: str) -> Iterator[None]:
    started = datetime.now(UTC)
    try:
        yield
    except CallFailed:
        raise
    except Exception as error:
        raise broken_off(command, started, error) from None


def _told(results: list[Result], as_json: bool = False) -> str:
    """The summary of a command that passed; the same as an error otherwise, so that the call fails.

    An error is text for people in either case: its outcome and exit code are in the error's extensions.
    """
    if any(result.exit_code for result in results):
        raise CallFailed.of(results)
    return _json(results) if as_json else result_text(merge(results))


def _report(runs: list[GateRun], fail: bool) -> dagger.Directory:
    if fail and any(run.result.exit_code for run in runs):
        raise CallFailed.of([run.result for run in runs])
    return report_directory(runs)


def _json(found: object) -> str:
    return TypeAdapter(type(found)).dump_json(found, indent=2, serialize_as_any=True).decode()
