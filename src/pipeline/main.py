"""The Dagger API and nothing else: arguments in, stage call, report out."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

import dagger
from dagger import Doc, dag

from pipeline.api.arguments import (
    AllowOlder,
    Anchors,
    Another,
    Archives,
    AsJson,
    BuiltFrom,
    CandidateDigest,
    ChannelName,
    Channels,
    CheckNames,
    Confirm,
    Containers,
    Driver,
    EachPlatform,
    FailGate,
    Followed,
    Gate,
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
    PublicKey,
    Reason,
    Reference,
    References,
    TagName,
    Target,
    Token,
    WhichGate,
)
from pipeline.api.calls import acting, api_object, checking, ending, lasting, opened, printed, results_of, told
from pipeline.api.commands import Commands
from pipeline.api.image import OsImage
from pipeline.api.results import CommandResult
from pipeline.commands import board, configuration, init, prune, reproduce, run_stage, status
from pipeline.containers.secrets import read_secret
from pipeline.domain import Refresh, one_line
from pipeline.ending import CallFailed
from pipeline.gates.evidence import run_directory, unpacked
from pipeline.lab import OLD, lab_files
from pipeline.lab import lab as surroundings
from pipeline.registry.retention import DriverKind
from pipeline.report.model import Result
from pipeline.world import Given, World

_NOT_SOURCE = [".venv", "**/__pycache__"]


@api_object
class BootcPipeline:
    """Moves a bootc OS image from next through testing to stable: by digest, never rebuilt, each channel gated."""

    given: Given

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
        actor: Annotated[str | None, Doc("Who asks, for the promotion record")] = "",
        signing_key: Annotated[dagger.Secret | None, Doc("A private key of cosign's, to sign what is recorded")] = None,
        signing_password: Annotated[dagger.Secret | None, Doc("The password of that key")] = None,
        signing_kms: Annotated[str | None, Doc("Instead of a key: its reference in a KMS, as cosign takes it")] = "",
        signing_kms_auth: Annotated[
            dagger.Secret | None, Doc("Lines of NAME=VALUE for the KMS driver's environment, such as its login")
        ] = None,
        identity_token: Annotated[
            dagger.Secret | None,
            Doc("Instead of a key: an OIDC token, or the address and the word that ask for one, with a space between"),
        ] = None,
        trust_branch: Annotated[
            str | None, Doc("The branch whose [trust] counts: origin's default branch, main or master otherwise")
        ] = "",
        notify: Annotated[
            dagger.Secret | None, Doc("Addresses of apprise, a line each, that are told as [notify] says")
        ] = None,
        jobs: Annotated[
            int | None, Doc("How many images are built or booted side by side, if the machine has room")
        ] = 1,
    ) -> Self:
        """Without a source it is the caller's repository, never that of this module."""
        # Nothing is required here, not even what has a default: TypeScript's bindings ask for what may not be null.
        given = Given(
            source=source or workspace.directory("/", exclude=_NOT_SOURCE),
            registry_auth=registry_auth,
            registry=registry,
            openqa_auth=openqa_auth,
            openqa=openqa,
            upload_auth=upload_auth,
            store=store,
            actor=one_line(actor or ""),
            signing_key=signing_key,
            signing_password=signing_password,
            signing_kms=signing_kms or "",
            signing_kms_auth=signing_kms_auth,
            identity_token=identity_token,
            trust_branch=trust_branch or "",
            notify=notify,
            jobs=max(1, jobs or 1),
        )
        return cls(given=given)

    @lasting
    def results(self) -> Commands:
        """The same commands for modules and scripts: each answers with an object, also when a gate failed."""
        return Commands(given=self.given)

    @acting
    async def image(self, name: Annotated[str, Doc("As in [images.NAME] of pipeline.toml")]) -> OsImage:
        """One image of pipeline.toml: its candidates, their disks and evidence, as objects to chain."""
        async with opened("image", self.given, [name]):
            return OsImage(given=self.given, name=name)

    @acting
    async def with_build_secret(
        self,
        name: Annotated[str, Doc("The id under which the Containerfile mounts it, as build.secrets lists it")],
        value: Annotated[dagger.Secret, Doc("What it holds, as in env://NAME")],
    ) -> Self:
        """Hand over a secret that a build needs; goes before the command, and may come several times."""
        self.given = replace(self.given, build_secrets={**self.given.build_secrets, name: value})
        return self

    @acting
    async def build_next(
        self,
        image: Images = None,
        must_push: MustPush = False,
        refresh: Another = Refresh.NONE,
        as_json: AsJson = False,
    ) -> str:
        """Build the checked-out commit, lint and test it, push :<commit>, move :next."""
        return _told(await self.results().build_next(image, must_push, refresh), as_json)

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
        as_json: AsJson = False,
    ) -> str:
        """Take an image that was built elsewhere: lint and test it, push it as it is to :<commit>, move :next."""
        submitted = self.results().submit_next(reference, archive, layout, container, commit, image, must_push)
        return _told(await submitted, as_json)

    @acting
    async def run_stage(
        self,
        stage: Annotated[str, Doc("build-next, gate-next, promote-testing, promote-stable or verify")],
        tag: Annotated[str, Doc("The pushed git tag, for those that promote")] = "",
        image: Images = None,
        refresh: Another = Refresh.NONE,
    ) -> dagger.Directory:
        """Run a stage as a workflow does: its report, passed or failed, with the exit code in the file `exit-code`."""
        left: dict[str, Path] = {}

        async def run(world: World) -> list[Result]:
            nonlocal left
            left = world.left
            return await run_stage.run_stage(world, stage, tag, refresh)

        return run_directory(await results_of(stage, self.given, image, run), left)

    @checking
    async def next_gate(self) -> str:
        """Build, lint and test without pushing; fails when the gate does, as `dagger check` wants it."""
        return _told(await self.results().gate_next(), as_json=False)

    @checking
    async def configuration(self) -> str:
        """Read pipeline.toml, and say what it asks of each image; fails when it cannot be read."""
        async with opened("configuration", self.given) as world:
            return printed(await configuration.configuration(world))

    @acting
    async def gate_next(self, image: Images = None, fail: FailGate = False) -> dagger.Directory:
        """Build, lint and test without pushing; the report, passed or failed."""
        return _report(await self.results().gate_next(image), fail)

    @acting
    async def promote_testing(
        self,
        tag: TagName,
        digest: CandidateDigest = "",
        image: Images = None,
        allow_older: AllowOlder = False,
        override_hold: OverrideHold = False,
        gated: GatedBefore = False,
        as_json: AsJson = False,
    ) -> str:
        """Boot the disk of the tagged commit's image in QEMU, then move :vX.Y.Z-test and :testing."""
        return _told(
            await self.results().promote_testing(tag, image, allow_older, override_hold, digest, gated), as_json
        )

    @acting
    async def gate_testing(
        self,
        ref: Annotated[str, Doc("A test tag or a digest")],
        image: Images = None,
        keep: Keep = False,
        fail: FailGate = False,
    ) -> dagger.Directory:
        """Build the disk and boot it without promoting; the report, passed or failed."""
        return _report(await self.results().gate_testing(ref, image, keep), fail)

    @acting
    async def matrix(self, each_platform: EachPlatform = False, image: Images = None) -> str:
        """Print images and platforms as JSON, for the matrix of a CI workflow with a job for each."""
        return (await self.results().matrix(each_platform, image)).text

    @acting
    async def reproduce(
        self,
        ref: Reference,
        public_key: PublicKey,
        platform: PlatformName = None,
        image: Images = None,
    ) -> dagger.Service:
        """Boot the very disk that testing booted: `up` puts SSH on port 2222, the serial console on port 2223."""
        async with opened("reproduce", self.given, image) as world:
            return await reproduce.reproduce(world, ref, platform or "", public_key)

    @acting
    async def check_again(
        self,
        ref: Reference,
        check: CheckNames,
        platform: PlatformName = None,
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Boot the very disk that testing booted and make only these checks."""
        return _told(await self.results().check_again(ref, check, platform, image), as_json)

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
        return _told(await self.results().promote_stable(tag, image, allow_older, override_hold), as_json)

    @acting
    async def lab(
        self,
        key: Annotated[str, Doc("SSH public key that opens the lab")],
        name: Annotated[str, Doc("Labs of the same name share the images in their registry")] = "lab",
        full: Annotated[bool, Doc("With object store and openQA, which only the stable stage needs")] = True,
        suites: Annotated[list[str] | None, Doc("Of Debian, for the tiny OS in the registry (bookworm)")] = None,
    ) -> dagger.Service:
        """Registry, object store and openQA to try things with, behind SSH; `ci/lab/up` opens their ports."""
        return await surroundings(lab_files(), name, key, full, suites or [OLD])

    @acting
    async def plan(
        self,
        tag: TagName,
        digest: CandidateDigest = "",
        image: Images = None,
        allow_older: AllowOlder = False,
        as_json: AsJson = False,
    ) -> str:
        """Show what promoting this tag would move, on what evidence, with which commits and packages; do nothing."""
        answer = await self.results().plan(tag, image, allow_older, digest)
        return answer.json if as_json else answer.text

    @acting
    async def notes(self, tag: TagName, image: Images = None, as_json: AsJson = False) -> str:
        """Write the release notes of a version: commits, packages, digests, what its gates found, how to check it."""
        answer = await self.results().notes(tag, image)
        return answer.json if as_json else answer.text

    @acting
    async def board(self, image: Images = None) -> dagger.Directory:
        """Where all channels stand, as a page to publish: index.html, the reports that it links, badges."""
        async with opened("board", self.given, image) as world:
            site = dag.directory()
            for path, text in (await board.board(world)).items():
                site = site.with_new_file(path, text)
            return site

    @acting
    async def init(
        self, address: Annotated[str, Doc("Of this module, with a version: github.com/OWNER/REPO@v1.2.3")]
    ) -> dagger.Changeset:
        """What the repository lacks: pipeline.toml, workflows, first tests, a line of .gitignore; `export --path=.`"""
        with ending("init"):
            return await init.init(self.given.source, address)

    @checking
    async def doctor(self, image: Images = None, as_json: AsJson = False) -> str:
        """Look whether a release could go through: engine, privileges, KVM, disk space, registry, openQA, clocks."""
        return _told(await self.results().doctor(image), as_json)

    @acting
    async def status(self, image: Images = None, as_json: AsJson = False) -> str:
        """Show the channels: digest, version, age, evidence, how far next is ahead."""
        answer = await self.results().status(image)
        return answer.json if as_json else answer.text

    @acting
    async def history(self, channel: ChannelName, image: Images = None, as_json: AsJson = False) -> str:
        """Show every recorded move of a channel, newest first: when, from where to where, by whom, why."""
        answer = await self.results().history(channel, image)
        return answer.json if as_json else answer.text

    @acting
    async def why(
        self,
        ref: Reference,
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Explain a tag or digest: its commit, its tags, what each gate found, every move it was part of."""
        answer = await self.results().why(ref, image)
        return answer.json if as_json else answer.text

    @checking
    async def verify(
        self, channel: Channels = None, anchor: Anchors = None, image: Images = None, as_json: AsJson = False
    ) -> str:
        """Derive again from git, evidence and ledger whether each channel may point where it points; fail when not."""
        return _told(await self.results().verify(channel, anchor, image), as_json)

    @acting
    async def anchor(self, channel: Channels = None, image: Images = None) -> str:
        """Print the newest entry of each ledger as one signed line, to be kept as the message of a git tag."""
        return (await self.results().anchor(channel, image)).text

    @acting
    async def policy(self, channel: Followed, image: Images = None, as_json: AsJson = False) -> str:
        """Print what makes podman and bootc refuse a channel that no release moved: policy.json and registries.d."""
        answer = await self.results().policy(channel, image)
        return answer.json if as_json else answer.text

    @acting
    async def rollback(
        self,
        channel: ChannelName,
        reason: Reason,
        to: Target = "",
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Take a channel back to a digest that passed its gate, record why, and hold it there."""
        return _told(await self.results().rollback(channel, reason, to, image), as_json)

    @acting
    async def hold(
        self,
        channel: ChannelName,
        reason: Reason,
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Keep promotions away from a channel until release-hold."""
        return _told(await self.results().hold(channel, reason, image), as_json)

    @acting
    async def release_hold(
        self,
        channel: ChannelName,
        reason: Reason = "",
        hold: Holds = None,
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Let promotions move a channel again after a hold or a rollback."""
        return _told(await self.results().release_hold(channel, reason, hold, image), as_json)

    @acting
    async def record_loss(
        self, channel: ChannelName, reason: Reason, image: Images = None, as_json: AsJson = False
    ) -> str:
        """Say that entries of a ledger are gone for good, so that the rest counts again; holds the channel."""
        return _told(await self.results().record_loss(channel, reason, image), as_json)

    @acting
    async def import_from(
        self,
        repository: OldRepository,
        stable_repository: OldStableRepository = "",
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Take an image over from another repository: tags, evidence, disks, signatures and ledger; then verify."""
        return _told(await self.results().import_from(repository, stable_repository, image), as_json)

    @acting
    async def prune(
        self,
        confirm: Confirm = False,
        why_kept: Annotated[str, Doc("Only explain why this digest stays, or why it may go")] = "",
        driver: Driver = DriverKind.AUTO,
        token: Token = None,
        image: Images = None,
        as_json: AsJson = False,
    ) -> str:
        """Delete what cannot be reached from a kept tag and is old enough; a plan unless confirmed."""
        if why_kept:
            async with opened("prune", self.given, image) as world:
                plain = await read_secret(token, "token") if token else None
                return printed(await prune.why_kept(world, why_kept, driver=driver, token=plain))
        answer = await self.results().prune(confirm, driver, token, image)
        return answer.json if as_json else answer.text

    @acting
    async def restore(
        self,
        tag: Annotated[str, Doc("A restore list, as prune printed it; without one, the lists are shown")] = "",
        image: Images = None,
    ) -> str:
        """Push back what a prune deleted, while the registry has its layers."""
        async with opened("restore", self.given, image) as world:
            return printed(await prune.restore(world, tag))

    @acting
    async def evidence(
        self,
        ref: Reference,
        gate: WhichGate = Gate.AUTO,
        image: Images = None,
    ) -> dagger.Directory:
        """The whole report of a gate again, passed or failed, as it is stored beside the digest."""
        async with opened("evidence", self.given, image) as world:
            reports = {one.name: await status.find_report(world, one, ref, gate.channel) for one in world.images}
            return unpacked(reports)


def _told(result: CommandResult, as_json: bool) -> str:
    return told(result.results(), as_json)


def _report(result: CommandResult, fail: bool) -> dagger.Directory:
    """A gate's report; a gate that never ran has none, and its end is the call's."""
    if result.exit_code and (fail or not result.files):
        raise CallFailed.of(result.results())
    return result.report()
