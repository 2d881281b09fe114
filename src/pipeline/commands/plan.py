"""What a promotion would do: the moves, the evidence, and what changes for users. Nothing is done."""

import textwrap
from dataclasses import dataclass

from pipeline.commands.packages import packages_between
from pipeline.domain import Channel, Commit, Digest, Tag
from pipeline.errors import PreconditionError, UsageError
from pipeline.gates import evidence
from pipeline.gates.evidence import Proof
from pipeline.gates.subject import Subject
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.policy.tags import ReleaseTag, TestTag
from pipeline.registry.client import RepositoryClient
from pipeline.report.model import Move
from pipeline.report.text import plan_table, table
from pipeline.stages import promotion, stable, testing
from pipeline.stages.release import GATES, moved_on, plan_of, promotion_of, tag_commit, went_on
from pipeline.world import World


@dataclass(frozen=True)
class Outlook:
    """A promotion of one image, seen before it is made."""

    repository: str
    tag: Tag
    channel: Channel
    commit: Commit
    digest: Digest
    note: str
    moves: list[Move]
    evidence: dict[Channel, Digest | None]
    """By gate: the evidence that counts, None where there is none yet."""
    commits: list[str]
    """Between what the channel is now and the candidate, newest first; empty for a first release."""
    packages: list[str] | None
    """Changes, one a line; None when one of the two images has no package list in its evidence."""
    compared: str = ""
    """What said so of both."""
    stopped: str = ""
    """Why the promotion would end before its gate: a hold, a withdrawal, a channel that has moved on; empty if not."""


async def plan(world: World, name: str, *, digest: str = "", allow_older: bool = False) -> list[Outlook]:
    """Look at the promotion of a tag; raises what the promotion would raise before its gate, and tells what stops it.

    `digest` as for a promotion to testing.
    """
    subjects: list[Subject]
    if "-test" in name:
        test_tag = TestTag.parse(name)
        tag, channel = test_tag.tag, Channel.TESTING
        commit, asked = await tag_commit(world, tag), testing.asked_digest(world, digest)
        subjects = [
            await testing.find_subject(world, image, test_tag, commit, asked, allow_older=allow_older)
            for image in world.images
        ]
    else:
        release_tag = ReleaseTag.parse(name)
        if digest:
            raise UsageError(f"--digest goes with a test tag; {name} takes what its highest test tag names.")
        tag, channel = release_tag.tag, Channel.STABLE
        commit = await tag_commit(world, tag)
        subjects = [
            await stable.find_subject(world, image, release_tag, commit, allow_older=allow_older)
            for image in world.images
        ]
    wanted = promotion_of("plan", channel, tag, subjects, [], allow_older=allow_older)
    overtaken = await moved_on(world, wanted, await promotion.plan(world, wanted.desired))
    return [await _outlook(world, subject, tag, channel, went_on(wanted) if overtaken else "") for subject in subjects]


async def _outlook(world: World, subject: Subject, tag: Tag, channel: Channel, overtaken: str) -> Outlook:
    image, candidate = subject.image, subject.candidate
    found = {gate: await evidence.passed(world, image, candidate.digest, gate) for gate in GATES[channel]}
    home = world.repository(image, channel)
    now = await home.digest(image.tags.channel(channel))
    changes = await packages_between((home, now), (world.repository(image), candidate.digest))
    return Outlook(
        repository=str(home.repository),
        tag=tag,
        channel=channel,
        commit=candidate.commit,
        digest=candidate.digest,
        note=candidate.note,
        moves=[] if overtaken else await plan_of(world, channel, tag, [subject]),
        evidence={gate: _digest(proof) for gate, proof in found.items()},
        commits=await _commits(world, home, now, candidate.commit),
        packages=changes.lines if changes else None,
        compared=changes.source if changes else "",
        stopped=await _refused(world, subject, channel) or overtaken,
    )


async def _refused(world: World, subject: Subject, channel: Channel) -> str:
    try:
        await promotion.respect_holds(world, channel, override=False)
        await promotion.refuse_withdrawn(world, subject.image, subject.candidate.digest, override=False)
    except PreconditionError as error:
        return str(error)
    return ""


def plan_text(outlooks: list[Outlook]) -> str:
    """The same for people."""
    return "\n\n".join(map(_text, outlooks))


def _text(outlook: Outlook) -> str:
    rows = [
        (gate.value, digest or ("runs with the promotion" if gate is outlook.channel else "MISSING"))
        for gate, digest in outlook.evidence.items()
    ]
    blocks = [
        f"{outlook.tag} is commit {outlook.commit[:12]}, image {outlook.digest}"
        + (f"; {outlook.note}" if outlook.note else ""),
        *([f"As it is now, the promotion ends before its gate. {outlook.stopped}"] if outlook.stopped else []),
        _moves(outlook),
        f"Evidence\n{_indented(table(('gate', 'evidence'), rows))}",
    ]
    if outlook.commits:
        count = f"{len(outlook.commits)} commit{'s' * (len(outlook.commits) > 1)}"
        blocks.append(f"{count}\n{_indented(chr(10).join(outlook.commits))}")
    if outlook.packages is None:
        blocks.append("Packages: no list of both images, so nothing to compare.")
    elif outlook.packages:
        blocks.append(
            f"{len(outlook.packages)} packages, by {outlook.compared}\n{_indented(chr(10).join(outlook.packages))}"
        )
    else:
        blocks.append(f"Packages: the same in the same versions, by {outlook.compared}.")
    return "\n\n".join(blocks)


def _moves(outlook: Outlook) -> str:
    if outlook.moves:
        that = ", were it not for that" if outlook.stopped else ""
        return f"Nothing was moved; these would be{that}.\n{plan_table(outlook.moves)}"
    there = "" if outlook.stopped else f": {outlook.tag} and {outlook.channel} are there already"
    return f"Nothing would move{there}."


def _indented(text: str) -> str:
    return textwrap.indent(text, "  ")


def _digest(proof: Proof | None) -> Digest | None:
    return proof.digest if proof else None


async def _commits(world: World, home: RepositoryClient, now: Digest | None, candidate: Commit) -> list[str]:
    revision = (await home.labels(now)).get(REVISION_LABEL, "") if now else ""
    return await world.history.subjects(revision, candidate) if revision else []
