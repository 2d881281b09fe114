"""Which tags keep what they point at, which may go one day, and when."""

import re
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr

from pipeline.domain import Channel, Tag
from pipeline.policy.attached import subject_of_tag
from pipeline.policy.names import RECORDS, Kind, Name, Names, read_ledger_tag
from pipeline.quantities import Age

FLOOR = timedelta(hours=24)
"""Nothing younger goes, whatever the configuration says: somebody may be about to tag it."""

_VERSION = re.compile(r"v\d+\.\d+\.\d+.*")


def _glob(text: str) -> str:
    if not re.fullmatch(r"([A-Za-z0-9._*?-]|\[!?[A-Za-z0-9._-]+\])+", text):
        raise ValueError("expected a glob that a tag can match, such as nightly-*: no regular expression")
    return text


TagPattern = Annotated[str, AfterValidator(_glob)]


class Role(StrEnum):
    """What a tag means to retention; the values are the words of the plan."""

    CHANNEL = "channel"
    ALIAS = "alias"
    DATED = "alias of one release"
    VERSION = "version tag"
    RECORD = "record of the pipeline"
    PATTERN = "tag that `keep_tags` names"
    ATTACHED = "tag that attaches something to another manifest"
    CANDIDATE = "candidate"
    ANOTHERS = "tag of another image"
    FOREIGN = "tag that no rule names"

    @property
    def is_root(self) -> bool:
        """Whether such a tag keeps what it points at for ever."""
        return self not in (Role.CANDIDATE, Role.ATTACHED)


class Rules(BaseModel):
    """`[retention]`: what prune may delete, old candidates that no kept tag leads to."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    keep_last: int = Field(default=10, ge=0, strict=True)
    """So many of the newest candidates stay, and so many of the newest untagged manifests."""
    older_than: Age = 30 * 86400.0
    """Only what is older goes; never under 24 hours."""
    rollback_targets: int = Field(default=3, ge=1, strict=True)
    """The last digests that `stable` pointed at stay, even without a tag."""
    keep_tags: tuple[TagPattern, ...] = ()
    """Glob patterns of further tags that keep what they point at."""
    prune_tags: tuple[TagPattern, ...] = ()
    """Glob patterns of further tags, beside the commits, that may go when they are old."""
    forget_tags: tuple[TagPattern, ...] = ()
    """Glob patterns of version tags that were deleted on purpose: prune stops when one that a ledger names is gone."""
    max_deletions: int = Field(default=500, ge=0, strict=True)
    """A plan that deletes more manifests is refused."""
    max_percent: float = Field(default=50, ge=0, le=100, strict=True)
    """A plan that deletes a greater part of all manifests is refused."""

    _mine: tuple[Names, ...] = PrivateAttr((Names(),))
    _others: tuple[Names, ...] = PrivateAttr(())

    def for_images(self, mine: Iterable[Names], others: Iterable[Names] = ()) -> Self:
        """These rules for a repository where `mine` are to be pruned, and everything of `others` stays."""
        bound = self.model_copy()
        bound._mine, bound._others = tuple(mine), tuple(others)
        return bound

    @property
    def age(self) -> timedelta:
        """How old something has to be before it may go: `older_than`, but at least the floor."""
        return max(timedelta(seconds=self.older_than), FLOOR)

    @property
    def channels(self) -> list[Tag]:
        """The tags of the channels of every image here."""
        return [names.channel(channel) for names in (*self._mine, *self._others) for channel in Channel]

    def must_be_there(self, tag: Tag) -> bool:
        """Whether a tag that a ledger once moved is expected for ever."""
        others = (names.read(tag) for names in self._others)
        precious = self.role(tag) in (Role.CHANNEL, Role.VERSION) or any(
            name and name.kind in (Kind.CHANNEL, Kind.VERSION) for name in others
        )
        return precious and not self._fits(tag, self.forget_tags)

    def role(self, tag: Tag) -> Role:
        """What this tag means. Whatever could be precious wins over what could go."""
        if subject_of_tag(tag):
            return Role.ATTACHED
        if tag.startswith(RECORDS) or read_ledger_tag(tag):
            return Role.RECORD
        read = self.read(tag)
        if read and read.kind is Kind.ALIAS:
            return Role.DATED if read.is_dated else Role.ALIAS
        if read and read.kind is not Kind.CANDIDATE:
            return Role.CHANNEL if read.kind is Kind.CHANNEL else Role.VERSION
        if any(names.read(tag) for names in self._others):
            return Role.ANOTHERS
        owner = self.owner(tag)
        if owner and _VERSION.fullmatch(tag[len(owner.prefix) :]):
            return Role.VERSION
        if self._fits(tag, self.keep_tags):
            return Role.PATTERN
        if read or (owner and any(fnmatchcase(tag[len(owner.prefix) :], pattern) for pattern in self.prune_tags)):
            return Role.CANDIDATE
        return Role.FOREIGN

    def read(self, tag: Tag) -> Name | None:
        """What a tag is to the image that it is of, when that is one of those to be pruned."""
        return next((name for names in self._mine if (name := names.read(tag))), None)

    def is_commit(self, tag: Tag) -> bool:
        """Whether it is the tag of a candidate: a commit, and its number when there are several (`:<sha>.2`)."""
        read = self.read(tag)
        return read is not None and read.kind is Kind.CANDIDATE

    def owner(self, tag: Tag) -> Names | None:
        """Of which image to be pruned a tag is, or is by the patterns: that with the longest prefix which it has."""
        if exact := next((names for names in self._mine if names.read(tag)), None):
            return exact
        longest = max(
            (names for names in (*self._mine, *self._others) if tag.startswith(names.prefix)),
            key=lambda names: len(names.prefix),
            default=None,
        )
        return longest if longest in self._mine else None

    def _fits(self, tag: Tag, patterns: Iterable[str]) -> bool:
        """Whether patterns name a tag, with the prefix of its image or without."""
        owner = self.owner(tag)
        plain = tag[len(owner.prefix) :] if owner else tag
        return any(fnmatchcase(name, pattern) for name in (tag, plain) for pattern in patterns)
