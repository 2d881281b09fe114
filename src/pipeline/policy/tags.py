"""The names of releases: `vX.Y.Z-test[.N]` asks for testing, `vX.Y.Z` for stable (DESIGN, the stages).

Numbers follow Semantic Versioning 2.0.0, item 2: no leading zeros. A workflow filter such as `v*.*.*` also
matches `-test` tags, so it is this grammar that decides, never the filter.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from pipeline.domain import Tag
from pipeline.errors import UsageError

_NUMBER = r"(0|[1-9][0-9]{0,8})"
_RELEASE = re.compile(rf"v{_NUMBER}\.{_NUMBER}\.{_NUMBER}")
_TEST = re.compile(rf"v{_NUMBER}\.{_NUMBER}\.{_NUMBER}-test(?:\.([1-9][0-9]{{0,8}}))?")


@dataclass(frozen=True, order=True)
class Version:
    """X.Y.Z, ordered as versions are."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True, order=True)
class TestTag:
    """`vX.Y.Z-test` (attempt 0) or `vX.Y.Z-test.N`, ordered by version, then attempt."""

    __test__ = False

    version: Version
    attempt: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError, with the reason, for anything else."""
        found = _TEST.fullmatch(text)
        if not found:
            raise UsageError(_refused(text, "vX.Y.Z-test or vX.Y.Z-test.N", "promote-testing"))
        major, minor, patch, attempt = found.groups()
        return cls(Version(int(major), int(minor), int(patch)), int(attempt or 0))

    @property
    def tag(self) -> Tag:
        """The name in git and in the registry."""
        return Tag(f"v{self.version}-test" + (f".{self.attempt}" if self.attempt else ""))

    @property
    def following(self) -> Self:
        """The next attempt of this version."""
        return replace(self, attempt=self.attempt + 1)


@dataclass(frozen=True, order=True)
class ReleaseTag:
    """`vX.Y.Z`."""

    version: Version

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raise UsageError, with the reason, for anything else."""
        found = _RELEASE.fullmatch(text)
        if not found:
            raise UsageError(_refused(text, "vX.Y.Z", "promote-stable"))
        return cls(Version(*map(int, found.groups())))

    @property
    def tag(self) -> Tag:
        """The name in git and in the registry."""
        return Tag(f"v{self.version}")


def _refused(text: str, expected: str, command: str) -> str:
    if _RELEASE.fullmatch(text):
        hint = f"{text} is a release tag: it belongs to promote-stable"
    elif _TEST.fullmatch(text):
        hint = f"{text} is a test tag: it belongs to promote-testing"
    elif re.search(r"(?<![\d])0\d", text):
        hint = "numbers have no leading zeros"
    elif not text.startswith("v"):
        hint = "a tag starts with v"
    else:
        hint = "X, Y and Z are numbers, and nothing may follow"
    return f"The tag {text!r} is not one that {command} takes: expected {expected}; {hint}. Nothing has moved."


def release_tags(tags: Iterable[str]) -> list[ReleaseTag]:
    """The release tags among these names, lowest version first."""
    return sorted(ReleaseTag.parse(tag) for tag in tags if _RELEASE.fullmatch(tag))


def tags_for_testing(tags: Iterable[str]) -> list[TestTag]:
    """The test tags among these names, lowest version and first attempt first."""
    return sorted(TestTag.parse(tag) for tag in tags if _TEST.fullmatch(tag))


def highest_test_tag(tags: Iterable[str], version: Version) -> TestTag | None:
    """The last attempt among the test tags of one version."""
    return max((tag for tag in tags_for_testing(tags) if tag.version == version), default=None)


def is_version_tag(tag: str) -> bool:
    """Whether this name is written once and never moved."""
    return bool(_RELEASE.fullmatch(tag) or _TEST.fullmatch(tag))
