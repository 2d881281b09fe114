"""doctor: whether a release could go through here, asked before one is under way. Nothing moves.

Everything is looked at, whatever else is wrong: a list of all that is missing is worth more than the first of it.
"""

import json
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import anyio
import dagger

from pipeline.commands.openqa_looks import looks as openqa_looks
from pipeline.commands.verify import about_trust
from pipeline.config import Image
from pipeline.containers import machine
from pipeline.containers.base import debian, with_pipeline
from pipeline.containers.disk_builder import builders_address
from pipeline.containers.execution import attempt
from pipeline.containers.openqa_cli import key_and_secret
from pipeline.containers.qemu import machine_room
from pipeline.containers.secrets import read_secret
from pipeline.domain import Channel, Outcome, Repository
from pipeline.errors import InfrastructureError, PipelineError, PreconditionError, UsageError
from pipeline.gates.openqa import read_scenarios
from pipeline.gates.recipe import bases_of
from pipeline.gates.room import needs_of
from pipeline.gates.source import require_source
from pipeline.image import root_filesystem
from pipeline.image.foreign import FOREIGN, known
from pipeline.openqa.client import OpenQA
from pipeline.policy.containerfile import Reference
from pipeline.policy.room import Need
from pipeline.quantities import duration_text, size_text
from pipeline.registry.evidence import find_evidence
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.stages.next import why_not_pushed
from pipeline.trust.warrant import Warrant
from pipeline.vm.spec import Arch
from pipeline.world import World

COMMAND = "doctor"
ROOM_CHECK = "disk-space"
ROOM = 20 * 1024**3
"""Bytes that should be free for the engine: container storage, disk, overlay and report of one image."""
SKEW = 60.0
"""Seconds that clocks may differ: openQA refuses signatures that are 300 s off, tokens of registries less."""

Look = Callable[[], Awaitable[str]]
"""Says what was found; raises PipelineError for what would stop a release."""


async def doctor(world: World) -> Result:
    """Look at the engine, the machine, the registry and openQA as the stages will use them.

    The outcome is `precondition` when something is missing that every release needs, `infra` when all that is wrong is
    a service that does not answer. KVM is advisory: emulation works, slowly.
    """
    started = time.monotonic()
    looks: dict[str, Look] = {
        "source": partial(_source, world),
        "engine": partial(_privileges, world),
        ROOM_CHECK: partial(_room, world),
        "kvm": partial(_kvm, world),
        "trust": partial(_trust, world),
    }
    for platform in sorted({one for image in world.images for one in image.platforms if known(one)}):
        looks[f"platform {platform}"] = partial(_platform, world, platform)
    looks["disk-builder"] = partial(_disk_builder, world)
    homes = {image.home(channel) for image in world.images for channel in (Channel.NEXT, Channel.STABLE)}
    asking = {f"root-filesystem {image.name}": [image.repository] for image in world.images}
    asking[ROOM_CHECK] = [image.repository for image in world.images]
    unread = set[Repository]()
    for repository in sorted(homes, key=str):
        behind = sorted(name for name, asked in asking.items() if repository in asked)
        looks[f"registry {repository}"] = partial(_registry, world, repository, behind, unread)
    for image in world.images:
        looks[f"bases {image.name}"] = partial(_bases, world, image)
        looks[f"root-filesystem {image.name}"] = partial(_root_filesystem, world, image)
    upload = world.config.gates.stable.upload
    if world.given.upload_auth or (upload and upload.asks_for_login):
        looks["upload-auth"] = partial(_upload_auth, world.given.upload_auth)
    key, secret = "", ""
    try:
        key, secret = await key_and_secret(world.given.openqa_auth, "openqa-auth") or ("", "")
    except UsageError as error:
        looks["openqa-auth"] = partial(_refused, error)
    openqa = world.config.gates.stable.openqa
    url = openqa.url if openqa else ""
    server = OpenQA(url, key, secret, address=world.address(url), deadline=20)
    if openqa:
        looks |= openqa_looks(server, world.config, world.images, partial(read_scenarios, world, openqa))
        looks["clock"] = partial(_clock, server)
    checks: dict[str, Check] = {}
    outcomes: list[Outcome] = []

    async def look(name: str, one: Look) -> None:
        begun = time.monotonic()
        status, required = CheckStatus.PASSED, name != "kvm"
        try:
            said = await one()
        except PipelineError as error:
            status, said = CheckStatus.FAILED, str(error)
            if required:
                outcomes.append(error.outcome)
        duration = time.monotonic() - begun
        checks[name] = Check(name=name, status=status, required=required, reason=said, duration=duration)

    async with server:
        async with anyio.create_task_group() as looking:
            for name in looks.keys() - asking.keys():
                looking.start_soon(look, name, looks[name])
        async with anyio.create_task_group() as looking:
            for name, asked in asking.items():
                if where := unread.intersection(asked):
                    checks[name] = _not_looked_at(name, where)
                else:
                    looking.start_soon(look, name, looks[name])
    return Result(
        command=COMMAND,
        outcome=verdict(outcomes),
        reason=_reason([checks[name] for name in looks]),
        checks=[checks[name] for name in looks],
        duration=time.monotonic() - started,
    )


def verdict(outcomes: list[Outcome]) -> Outcome:
    """Of the outcomes of what failed: `infra` only when nothing else is wrong, since that alone may pass by itself."""
    if not outcomes:
        return Outcome.PASSED
    return Outcome.INFRA if set(outcomes) == {Outcome.INFRA} else Outcome.PRECONDITION


def _reason(checks: list[Check]) -> str:
    wrong = [check.name for check in checks if not check.lets_through]
    if wrong:
        return f"A release would not go through: {', '.join(wrong)}."
    return "Everything that a release needs is there."


async def _source(world: World) -> str:
    """As every stage will look at it; UsageError where no commit could ever be pushed."""
    commit = await world.history.head()
    await require_source(world, *Channel)
    if await world.history.shallow():
        raise PreconditionError("The history is cut off: fetch all of it (actions/checkout: fetch-depth: 0).")
    withheld = await why_not_pushed(world, commit)
    there = "everything that pipeline.toml names is there"
    return f"{there}; from here build-next would push nothing: {withheld}" if withheld else there


async def _privileges(world: World) -> str:
    """The build and the disk builder mount file systems."""
    tried = await attempt(
        debian("mount").with_env_variable("PIPELINE_RUN", world.reach.run),
        ["sh", "-c", "mount -t tmpfs none /mnt && umount /mnt && uname -srm"],
        privileged=True,
    )
    if tried.code:
        raise PreconditionError(
            f"The engine runs no privileged containers: {tried.end(3)}. Build, disk and boot need them "
            "(insecure root capabilities; see the engine's configuration)."
        )
    return f"privileged containers work; {tried.stdout.strip()}"


async def _platform(world: World, platform: str) -> str:
    """A program for that platform is run: images are built and tested by running what is in them."""
    tried = await attempt(
        with_pipeline(debian("mount")).with_env_variable("PIPELINE_RUN", world.reach.run),
        ["python", "-m", "pipeline.image.foreign", platform],
    )
    if tried.code:
        raise PreconditionError(f"An image for {platform} cannot be built or tested. {FOREIGN}")
    return f"programs for {platform} run"


async def _room(world: World) -> str:
    """As the stages will ask for it; without a candidate to go by, what one image and its disk take as a rule."""
    needs = [need for image in world.images for need in await needs_of(world, image)]
    largest = max(needs, key=lambda need: need.about, default=Need("One image and its disk", ROOM, ROOM))
    free = await machine.free()
    if largest.refusal(free):
        raise PreconditionError(f"{largest.told(free)}; expected at least {size_text(largest.least)}.")
    return largest.told(free)


async def _kvm(world: World) -> str:
    """Measured as the gate does it."""
    probe = await attempt(
        machine_room(Arch.X86_64).with_env_variable("PIPELINE_RUN", world.reach.run),
        ["python", "-m", "pipeline.vm.accelerator"],
        privileged=True,
    )
    if probe.code:
        raise InfrastructureError(f"The probe broke off: {probe.end(3)}")
    found = json.loads(probe.stdout)
    if found["name"] != "kvm":
        raise PreconditionError(f"{found['why']}.")
    return str(found["why"])


async def _trust(world: World) -> str:
    """With something to sign with: for which gates its signatures would count."""
    told = about_trust(world)
    if not world.notary.sign:
        return told
    rehearsal = Warrant.new(Channel.NEXT).statement  # which is worth nothing without its key
    bundle = await world.notary.sign(rehearsal)
    trust = world.notary.trust
    counts = [gate for gate in Channel if trust.of(gate) and not trust.refusal(trust.of(gate), rehearsal, bundle)]
    return f"{told} What is given to sign with counts for {', '.join(counts) or 'no gate'}."


def _not_looked_at(name: str, where: Collection[Repository]) -> Check:
    """What refuses is told once, by the look at the registry; the rest is no finding of its own."""
    reason = f"not looked at: {', '.join(sorted(map(str, where)))} cannot be read"
    return Check(name=name, status=CheckStatus.SKIPPED, required=False, reason=reason)


async def _registry(world: World, repository: Repository, behind: Sequence[str], unread: set[Repository]) -> str:
    """Read as every command does, and begin an upload that is given up again.

    One that cannot be read is added to `unread`, and the error names the looks `behind` it, which then have nothing
    to go by.
    """
    client = world.registry.repository(repository)
    try:
        tags = await client.tags()
    except PipelineError as error:
        unread.add(repository)
        raise type(error)(
            f"{error} Not looked at without it: {', '.join(behind)}." if behind else str(error)
        ) from error
    await client.ask_to_push()
    return f"{len(tags)} tags can be read, and the login may push"


async def _disk_builder(world: World) -> str:
    """As the engine will pull it, but for its layers."""
    return f"the engine finds {await builders_address(world.reach, world.config.gates.testing.builder.image)}"


async def _bases(world: World, image: Image) -> str:
    """What the Containerfile begins from, as every build asks for it; PreconditionError for what is not there."""
    if image.needs:
        return f"built on {', '.join(image.needs)}, which every build takes from here"
    bases = await bases_of(world, image)
    if absent := [name for name in bases.unknown if Reference.parse(name)]:
        raise PreconditionError(
            f"{image.containerfile} builds on {', '.join(absent)}, which no registry has: correct the name, or push it."
        )
    return f"{len(bases.found)} found: {bases.recorded}" if bases.found else "none in a registry"


async def _root_filesystem(world: World, image: Image) -> str:
    """What the image gate saw of the newest candidate, before a disk builder asks for it."""
    registry = world.repository(image)
    digest = await registry.digest(image.tags.channel(Channel.NEXT))
    found = await find_evidence(registry, digest, Channel.NEXT) if digest else []
    return root_filesystem_of(found[0].evidence.result.inputs if found else {}, world.config.gates.testing.builder.args)


def root_filesystem_of(inputs: Mapping[str, str], arguments: Sequence[str]) -> str:
    """What the disk's root will be; PreconditionError when neither the image nor the builder's arguments say it."""
    named = next((word for word in arguments if re.match(r"--(rootfs|bootc-default-fs|filesystem)\b", word)), None)
    if named:
        return f"the disk builder is told by {named}"
    declared = {value for name, value in inputs.items() if name.rpartition("/")[2] == root_filesystem.INPUT}
    if root_filesystem.UNDECLARED in declared:
        raise PreconditionError(
            "The image declares no root file system, and the disk builder will ask for one: declare it "
            '(/usr/lib/bootc/install/*.toml: [install.filesystem.root] type = "xfs"), or add "--rootfs", "ext4" to '
            "gates.testing.builder.args."
        )
    return f"the image declares {', '.join(sorted(declared))}" if declared else "no candidate was looked at yet"


async def _refused(error: PipelineError) -> str:
    raise error


async def _upload_auth(secret: dagger.Secret | None) -> str:
    if secret is None:
        raise PreconditionError("To upload disks, give the object store's KEY:SECRET as --upload-auth.")
    await read_secret(secret, "upload-auth")
    return "the login for uploads can be read"


async def _clock(server: OpenQA) -> str:
    """By openQA, which signs with the time."""
    there = await server.clock()
    return (
        compared((datetime.now(UTC) - there).total_seconds(), server.url) if there else "openQA does not tell its time"
    )


def compared(ahead: float, url: str) -> str:
    """What a clock that is `ahead` seconds before the server's means; PreconditionError beyond SKEW."""
    if abs(ahead) > SKEW:
        side = "ahead of" if ahead > 0 else "behind"
        raise PreconditionError(
            f"The engine's clock is {duration_text(abs(ahead))} {side} that of {url}; expected at most "
            f"{duration_text(SKEW)}. Signatures and tokens would be refused: set the clocks."
        )
    return f"within {max(1, round(abs(ahead)))} s of {url}"
