"""Which tags keep what they point at, which may go one day, and when."""

import re
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field

from pipeline.domain import Channel, Tag
from pipeline.policy.attached import subject_of_tag
from pipeline.quantities import Duration

FLOOR = timedelta(hours=24)
"""Nothing younger goes, whatever the configuration says: somebody may be about to tag it."""

_COMMIT = re.compile(r"[0-9a-f]{40}(\.[1-9][0-9]*)?")
_VERSION = re.compile(r"v\d+\.\d+\.\d+.*")
_CHANNELS = frozenset(channel.value for channel in Channel)
_RECORDS = "pipeline-"


def is_commit(tag: Tag) -> bool:
    """Whether it is the tag of a candidate: a commit, and its number when there are several (`:<sha>.2`)."""
    return bool(_COMMIT.fullmatch(tag))


class Role(StrEnum):
    """What a tag means to retention; the values are the words of the plan."""

    CHANNEL = "channel"
    VERSION = "version tag"
    RECORD = "record of the pipeline"
    PATTERN = "tag that `keep_tags` names"
    ATTACHED = "tag that attaches something to another manifest"
    CANDIDATE = "candidate"
    FOREIGN = "tag that no rule names"

    @property
    def is_root(self) -> bool:
        """Whether such a tag keeps what it points at for ever."""
        return self not in (Role.CANDIDATE, Role.ATTACHED)


class Rules(BaseModel):
    """`[retention]`: what prune may delete, old candidates that no kept tag leads to."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    keep_last: int = Field(default=10, ge=0)
    """So many of the newest candidates stay, and so many of the newest untagged manifests."""
    older_than: Duration = 30 * 86400.0
    """Only what is older goes; never under 24 hours."""
    rollback_targets: int = Field(default=3, ge=1)
    """The last digests that `stable` pointed at stay, even without a tag."""
    keep_tags: tuple[str, ...] = ()
    """Glob patterns of further tags that keep what they point at."""
    prune_tags: tuple[str, ...] = ()
    """Glob patterns of further tags, beside the commits, that may go when they are old."""
    forget_tags: tuple[str, ...] = ()
    """Glob patterns of version tags that were deleted on purpose: prune stops when one that a ledger names is gone."""
    max_deletions: int = Field(default=500, ge=0)
    """A plan that deletes more manifests is refused."""
    max_percent: float = Field(default=50, ge=0, le=100)
    """A plan that deletes a greater part of all manifests is refused."""

    @property
    def age(self) -> timedelta:
        """How old something has to be before it may go: `older_than`, but at least the floor."""
        return max(timedelta(seconds=self.older_than), FLOOR)

    def must_be_there(self, tag: Tag) -> bool:
        """Whether a tag that a ledger once moved is expected for ever."""
        precious = self.role(tag) in (Role.CHANNEL, Role.VERSION)
        return precious and not any(fnmatchcase(tag, pattern) for pattern in self.forget_tags)

    def role(self, tag: Tag) -> Role:
        """What this tag means. Whatever could be precious wins over what could go."""
        if tag in _CHANNELS:
            return Role.CHANNEL
        if _VERSION.fullmatch(tag):
            return Role.VERSION
        if subject_of_tag(tag):
            return Role.ATTACHED
        if tag.startswith(_RECORDS):
            return Role.RECORD
        if any(fnmatchcase(tag, pattern) for pattern in self.keep_tags):
            return Role.PATTERN
        if is_commit(tag) or any(fnmatchcase(tag, pattern) for pattern in self.prune_tags):
            return Role.CANDIDATE
        return Role.FOREIGN
