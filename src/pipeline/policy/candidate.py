"""Which digest a promotion is about, and why it may not be promoted: decided from what git and the registry say."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pipeline.domain import Commit, Digest, Tag
from pipeline.errors import ConflictError, PreconditionError, UsageError
from pipeline.policy.tags import ReleaseTag, TestTag, Version

REVISION_LABEL = "org.opencontainers.image.revision"
SOURCE_LABEL = "org.opencontainers.image.source"
CREATED_LABEL = "org.opencontainers.image.created"
VERSION_LABEL = "org.opencontainers.image.version"
BASE_NAME_LABEL = "org.opencontainers.image.base.name"
BASE_DIGEST_LABEL = "org.opencontainers.image.base.digest"
BASES_LABEL = "vnd.bootc-pipeline.bases"
"""Every image that went into a candidate, as `REPOSITORY@DIGEST`, sorted, with spaces between."""


DEMANDED_LABELS = {
    REVISION_LABEL: "the commit, 40 hexadecimal digits",
    SOURCE_LABEL: "where the sources are",
    CREATED_LABEL: "when it was built (RFC 3339)",
    VERSION_LABEL: "a version for people",
}
"""What every candidate says of itself, on each platform."""


def refuse_unfit(
    what: str, labels: Mapping[str, Mapping[str, str]], platforms: Collection[str], commit: Commit, image: str
) -> None:
    """PreconditionError unless an image that was built elsewhere is one that could be a candidate of this commit.

    Args:
        what: the image, for people.
        labels: its labels, by platform.
        platforms: those that the configuration asks for.
        commit: what it has to be built from.
        image: its name in the configuration.
    """
    refuse_platforms(what, list(labels), platforms, image)
    for platform, found in sorted(labels.items()):
        if missing := [name for name in DEMANDED_LABELS if not found.get(name)]:
            said = ", ".join(f"{name} ({DEMANDED_LABELS[name]})" for name in missing)
            raise PreconditionError(
                f"{what} lacks labels on {platform}: {said}. Nothing is added to an image that was built elsewhere. "
                f"Set them in its build (podman build --label {REVISION_LABEL}={commit} …, buildah config --label, "
                "mkosi --oci-labels) and submit that image."
            )
        if found[REVISION_LABEL] != commit:
            raise PreconditionError(
                f"{what} says of {platform} that it was built from {found[REVISION_LABEL]} (label {REVISION_LABEL}), "
                f"expected {commit}, which is checked out. Check out the commit that it was built from, or submit the "
                "image of this one."
            )


def refuse_platforms(what: str, found: Sequence[str], platforms: Collection[str], image: str) -> None:
    """PreconditionError unless an image is for each of these platforms once.

    Of two images for one platform nobody could tell which of them a gate saw and a machine takes.
    """
    if sorted(found) != sorted(platforms):
        raise PreconditionError(
            f"{what} is for {', '.join(sorted(found)) or 'no platform'}; expected exactly what "
            f"images.{image}.platforms says, each once: {', '.join(sorted(platforms))}. Build it again with one image "
            "for each, or correct pipeline.toml. Nothing has moved."
        )


@dataclass(frozen=True)
class Numbered:
    """One of the candidates of a commit."""

    number: int
    digest: Digest


@dataclass(frozen=True)
class Choice:
    """The candidate that a test tag is about."""

    digest: Digest | None
    why: str = ""
    """Why this one; empty when there is no other."""


def choose(
    tag: Tag, tagged: Digest | None, asked: Digest | None, candidates: Sequence[Numbered], passed: Collection[Digest]
) -> Choice:
    """Which candidate of its commit a test tag is about.

    Args:
        tag: the test tag.
        tagged: what it names in the registry: the answer, once it is there.
        asked: what the caller named.
        candidates: of the commit.
        passed: those of them that passed the next gate.
    """
    if asked:
        return Choice(asked, f"named by --digest, one of {len(candidates)} of its commit")
    if tagged:
        return Choice(tagged, f":{tag} names it already" if len(candidates) > 1 else "")
    newest = max(candidates, key=lambda one: one.number, default=None)
    fit = max((one for one in candidates if one.digest in passed), key=lambda one: one.number, default=newest)
    if newest is None or fit is None:
        return Choice(None)
    if len(candidates) == 1 or fit.digest not in passed:
        return Choice(fit.digest)
    later = f"; candidate {newest.number} did not" if newest != fit else ""
    return Choice(
        fit.digest,
        f"candidate {fit.number}, the newest of {len(candidates)} of its commit that passed the next gate{later}",
    )


@dataclass(frozen=True)
class Candidate:
    """A digest with its source commit."""

    digest: Digest
    commit: Commit
    note: str = ""
    built: str = ""
    """The day of its build, as YYYYMMDD; empty when it does not say."""


@dataclass(frozen=True)
class TestingFacts:
    """What was found for one image before its promotion to testing."""

    __test__ = False

    tag: TestTag
    commit: Commit
    """Of the pushed tag."""
    digest: Digest | None
    """The version tag's once it exists, whatever became of the candidate's own tag; else the one that was chosen."""
    revision: str | None
    """The revision label of that digest."""
    next_digest: Digest | None
    ahead: int | None
    """By how many commits next has moved on; None when it cannot be told."""
    stable: Version | None
    """The version that `:stable` points at."""
    testing: TestTag | None = None
    """The attempt that `:testing` points at."""
    tagged: Digest | None = None
    """Behind the version tag, when it exists already."""
    why: str = ""
    """Why this candidate and no other of the commit."""
    built: str = ""
    """The day on which that image was built, as YYYYMMDD."""


class NotBuiltYet(PreconditionError):
    """The image of the tag's commit is not in the registry (yet): worth waiting for a build in flight."""


def for_testing(facts: TestingFacts, *, allow_older: bool = False) -> Candidate:
    """The candidate of a test tag: the image that was built from exactly the tagged commit.

    Raises NotBuiltYet without that image, PreconditionError when its label names another commit, ConflictError
    when the version tag exists and is of another commit, UsageError when the version is not above the stable one or
    would take testing back.
    """
    if not allow_older and facts.tagged is None:
        if facts.stable and facts.tag.version <= facts.stable:
            raise UsageError(_not_above(facts.tag, f"stable version {facts.stable}"))
        if facts.testing and facts.tag < facts.testing:
            raise UsageError(_not_above(facts.tag, f"testing version {facts.testing.tag}"))
    if facts.digest is None:
        raise NotBuiltYet(
            f"There is no image of commit {facts.commit} ({facts.tag.tag}): expected the tag :{facts.commit}. "
            "Is it on the main branch, was build-next run for it, and did it pass? No other image takes its place."
        )
    if facts.tagged and (facts.tagged, facts.revision) != (facts.digest, facts.commit):
        raise ConflictError(
            f":{facts.tag.tag} exists already and is {facts.tagged}; expected {facts.digest}, of commit "
            f"{facts.commit} (its label says {facts.revision or 'no commit at all'}). A version tag is never moved: "
            "push a new test tag."
        )
    _same_revision(facts.digest, facts.revision, facts.commit)
    note = "; ".join(filter(None, (facts.why, _moved_on(facts))))
    return Candidate(facts.digest, facts.commit, note, facts.built)


def _moved_on(facts: TestingFacts) -> str:
    if facts.next_digest == facts.digest:
        return ""
    if facts.ahead is None:
        return "next has moved on"
    return f"next has moved on by {facts.ahead} commit{'' if facts.ahead == 1 else 's'}"


@dataclass(frozen=True)
class StableFacts:
    """What was found for one image before its promotion to stable."""

    tag: ReleaseTag
    commit: Commit
    """Of the pushed tag."""
    test_tag: TestTag | None
    """The highest `-test[.N]` of this version in the registry."""
    digest: Digest | None
    """Behind that tag."""
    revision: str | None
    """The revision label of that digest."""
    test_commit: Commit | None
    """Of that tag in git; None when git has it not."""
    stable: Version | None
    tagged: Digest | None = None
    """Behind the version tag, when it exists already."""
    built: str = ""
    """The day on which that image was built, as YYYYMMDD."""


def for_stable(facts: StableFacts, *, allow_older: bool = False) -> Candidate:
    """The candidate of a release tag: what its highest test tag names, never the floating testing channel.

    Raises PreconditionError when there is no test tag or when tag commit, test tag commit and label are not one;
    ConflictError when the version tag exists with another digest; UsageError for a version that is not above stable.
    """
    if facts.stable and facts.tag.version <= facts.stable and not allow_older and facts.tagged is None:
        raise UsageError(_not_above(facts.tag, f"stable version {facts.stable}"))
    if facts.test_tag is None or facts.digest is None:
        raise PreconditionError(
            f"No {facts.tag.tag}-test has been promoted: expected a tag :{facts.tag.tag}-test in the registry. "
            f"Push the git tag {facts.tag.tag}-test and let it pass first."
        )
    if facts.test_commit != facts.commit:
        raise PreconditionError(
            f"{facts.tag.tag} is commit {facts.commit}, but {facts.test_tag.tag} is {facts.test_commit or 'not in git'}"
            ": what is released must be what was tested. Put both tags on one commit."
        )
    _same_revision(facts.digest, facts.revision, facts.commit)
    if facts.tagged not in (None, facts.digest):
        raise ConflictError(
            f":{facts.tag.tag} exists already and is {facts.tagged}, but {facts.test_tag.tag} is {facts.digest}. "
            "A version tag is never moved: release under a new version."
        )
    return Candidate(facts.digest, facts.commit, built=facts.built)


def _not_above(tag: TestTag | ReleaseTag, current: str) -> str:
    return f"{tag.tag} is not above the current {current}. Tag a higher version, or pass --allow-older if you mean it."


def _same_revision(digest: Digest, revision: str | None, commit: Commit) -> None:
    if revision != commit:
        raise PreconditionError(
            f"The image {digest} says it was built from {revision or 'no commit at all'} (label {REVISION_LABEL}), "
            f"expected {commit}. It is not the image of this tag; build the commit with build-next."
        )
