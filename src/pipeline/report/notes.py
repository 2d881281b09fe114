"""Release notes, as Markdown: what a version is, what is new in it, what its gates found, how to get and check it."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from pipeline.domain import Channel, Commit, Digest, Outcome, Tag
from pipeline.quantities import size_text
from pipeline.report.excerpt import first_sentence
from pipeline.report.markdown import escaped, fenced, table
from pipeline.report.model import Check, CheckStatus
from pipeline.report.wording import checks_text, outcome_text, status_text

LONGEST = 120_000
"""Characters: GitHub takes 125,000 as the text of a release."""
_LISTED = (1000, 200, 50, 0)
"""Lines of a list of packages, and as many checks that did not plainly pass: the most with which all fits."""


@dataclass(frozen=True)
class Built:
    """The image for one platform."""

    platform: str
    digest: Digest
    size: int | None
    """Bytes that are downloaded, compressed; None when its manifest does not tell."""
    before: int | None
    """The same of the release before."""


@dataclass(frozen=True)
class Disk:
    """A disk that was tested, or built beside it."""

    name: str
    """The platform, and what it is behind that, as in `linux/amd64 iso`."""
    size: int
    """Bytes."""
    sha256: Digest


@dataclass(frozen=True)
class Found:
    """What a gate says of the image today."""

    gate: Channel
    outcome: Outcome | None
    """None without evidence that counts."""
    reason: str = ""
    at: datetime | None = None
    checks: Sequence[Check] = ()
    links: Sequence[str] = ()
    """Where a browser finds more: the jobs in openQA."""


@dataclass(frozen=True)
class Notes:
    """A release of one image."""

    image: str
    repository: str
    tag: Tag
    """As in git."""
    names: Sequence[Tag]
    """What it is called in the registry: the version tag, and the channel that follows releases."""
    commit: Commit
    digest: Digest
    at: datetime
    before: Tag | None
    """The release before, as in git; None for the first one."""
    commits: Sequence[str]
    """Since then, newest first; not all of them when there are many."""
    count: int | None
    """How many there are; None when the history that was handed over does not tell."""
    packages: Sequence[str] | None
    """Changes since then, one a line; None when one of the two images has no list."""
    compared: str
    """What said so of both: their SBOM or their package database."""
    platforms: Sequence[Built]
    disks: Sequence[Disk]
    gates: Sequence[Found]
    withdrawn: str = ""
    """When and why a channel was taken back from it."""
    signer: str = ""
    """Who signed the release; empty when no signature is asked for."""
    options: Sequence[str] = field(default_factory=tuple)
    """What cosign has to be told so that it takes that signature."""


def notes_text(found: Sequence[Notes]) -> str:
    """One document about all images of a release; lists are cut where it would become too long."""
    text = ""
    for most in _LISTED:
        text = "\n\n".join(_blocks(found, most)) + "\n"
        if len(text) <= LONGEST:
            break
    return text


def _blocks(found: Sequence[Notes], most: int) -> Iterator[str]:
    first = found[0]
    yield f"# {first.tag}"
    yield f"Released on {first.at:%Y-%m-%d} from commit {first.commit}."
    for before, those in groupby(sorted(found, key=_before), key=_before):
        same = list(those)
        yield _commits(same[0], before, [one.image for one in same] if len(same) < len(found) else [])
    for one in found:
        yield from _image(one, most)
    if signed := [one for one in found if one.options]:
        yield _check_it(signed)


def _before(one: Notes) -> str:
    return one.before or ""


def _commits(one: Notes, before: str, images: Sequence[str]) -> str:
    whose = f" ({', '.join(images)})" if images else ""
    if not before:
        return f"## The first release{whose}"
    if one.count is None:
        return f"## Commits since {before}{whose}\n\nThe history at hand does not go back to {before}."
    lines = [f"- {escaped(commit)}" for commit in one.commits]
    if more := one.count - len(lines):
        lines.append(f"- … and {more} more: `git log {before}..{one.tag}`")
    return "\n\n".join(
        [f"## {_many(one.count, 'commit')} since {before}{whose}", *(["\n".join(lines)] if lines else [])]
    )


def _image(one: Notes, most: int) -> Iterator[str]:
    yield f"## {one.image}"
    if one.withdrawn:
        yield f"> **Taken back.** {escaped(one.withdrawn)}"
    version, channel = one.names
    reference = f"{one.repository}@{one.digest}"
    yield f"`{one.repository}:{version}` is this image and never moves; `{one.repository}:{channel}` follows releases."
    yield fenced(f"podman pull {reference}\nsudo bootc switch {reference}", "sh")
    yield table(("platform", "digest", "download"), _digests(one))
    if one.disks:
        yield table(
            ("disk", "sha256", "size"), [(disk.name, disk.sha256.hex, size_text(disk.size)) for disk in one.disks]
        )
    if one.before:
        yield _packages(one.packages, one.compared, one.before, most)
    yield "### What its gates found"
    yield "\n".join(line for gate in one.gates for line in _gate(gate, most))


def _digests(one: Notes) -> Iterator[tuple[str, str, str]]:
    if [one.digest] != [built.digest for built in one.platforms]:
        yield "all (index)", one.digest, ""
    for built in one.platforms:
        yield built.platform, built.digest, _download(built)


def _download(built: Built) -> str:
    if built.size is None:
        return "?"
    if built.before is None:
        return size_text(built.size)
    grown = built.size - built.before
    return f"{size_text(built.size)} ({'-' if grown < 0 else '+'}{size_text(abs(grown))})"


def _packages(changes: Sequence[str] | None, compared: str, before: Tag, most: int) -> str:
    if changes is None:
        return f"### Packages since {before}\n\nOne of the two images has no package list, so nothing was compared."
    if not changes:
        return f"### Packages since {before}\n\nThe same in the same versions, by {compared}."
    words = {"+": "added", "-": "removed", "~": "in another version"}
    counts = {word: sum(line.startswith(mark) for line in changes) for mark, word in words.items()}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    listed = [" ".join(line.split()) for line in changes[:most]]
    if more := len(changes) - len(listed):
        listed.append(f"… and {more} more")
    return f"### Packages since {before}, by {compared}: {told}\n\n{fenced(chr(10).join(listed), 'diff')}"


def _gate(found: Found, most: int) -> Iterator[str]:
    if found.outcome is None or found.at is None:
        yield f"- **{found.gate}**: no evidence"
        return
    links = [f"[{escaped(link.rstrip('/').rpartition('/')[2])}](<{link}>)" for link in found.links if _is_link(link)]
    yield (
        f"- **{found.gate}**: {outcome_text(found.outcome)} on {found.at:%Y-%m-%d %H:%M} UTC, "
        f"{checks_text(list(found.checks)) or 'no checks'}. {escaped(first_sentence(found.reason))}"
        + (f" (openQA: {', '.join(links)})" if links else "")
    )
    told = [check for check in found.checks if check.status is not CheckStatus.PASSED]
    for check in told[:most]:
        yield f"  - {escaped(check.name)}: {status_text(check)}. {escaped(first_sentence(check.reason))}"
    if more := len(told) - len(told[:most]):
        yield f"  - … and {more} more that did not plainly pass"


def _is_link(text: str) -> bool:
    return text.startswith(("https://", "http://")) and not set(text) & set("<> \n")


def _check_it(found: Sequence[Notes]) -> str:
    """The attestation that lets a digest into stable (docs/trust.md, checking it without this pipeline)."""
    signers = " and ".join(sorted({one.signer for one in found}))
    commands = [
        "cat > stable.cue <<'END'\npredicate: {\n\tverificationResult: \"PASSED\"\n"
        '\tverifiedLevels: ["BOOTC_PIPELINE_STABLE"]\n}\nEND',
        *(
            f"cosign verify-attestation --new-bundle-format {shlex.join(one.options)} \\\n"
            f"    --type https://slsa.dev/verification_summary/v1 --policy stable.cue {one.repository}@{one.digest}"
            for one in found
        ),
    ]
    return "\n\n".join(
        [
            "## Checking it with cosign alone",
            f"That this passed every gate of stable is signed by {escaped(signers)}. With cosign 2.5 or later:",
            fenced("\n".join(commands), "sh"),
        ]
    )


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def links_in(inputs: Iterable[tuple[str, str]]) -> list[str]:
    """The openQA jobs among what a gate says went in, of every platform and flavor."""
    return [link for name, text in inputs if name.rpartition("/")[2] == "openqa jobs" for link in text.split()]
