"""Which digest a promotion is about, and why it may not be promoted: decided from what git and the registry say."""

from dataclasses import dataclass

from pipeline.domain import Commit, Digest
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
    """Behind the version tag once it exists, whatever became of `:<commit>`; else behind that."""
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
            "Was build-next run for it, and did it pass? No other image is taken in its place."
        )
    if facts.tagged and (facts.tagged, facts.revision) != (facts.digest, facts.commit):
        raise ConflictError(
            f":{facts.tag.tag} exists already and is {facts.tagged}, of {facts.revision or 'no commit at all'}; "
            f"expected one of commit {facts.commit}. A version tag is never moved: push a new test tag."
        )
    _same_revision(facts.digest, facts.revision, facts.commit)
    return Candidate(facts.digest, facts.commit, _moved_on(facts), facts.built)


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
    _same_revision(facts.digest, facts.revision, facts.commit)
    if facts.test_commit != facts.commit:
        raise PreconditionError(
            f"{facts.tag.tag} is commit {facts.commit}, but {facts.test_tag.tag} is {facts.test_commit or 'not in git'}"
            ": what is released must be what was tested. Put both tags on one commit."
        )
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
