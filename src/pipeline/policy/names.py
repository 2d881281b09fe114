"""How the tags of an image are spelled, and how they are read again: the one place that knows it.

    PREFIX next, testing, stable             the channels, or what `names` calls them
    PREFIX v1.2.0-test.2, v1.2.0             version tags, as in git
    PREFIX <commit>, <commit>.2              candidates of a commit
    PREFIX latest, 44, stable-20260720       aliases, as their templates say
    PREFIX pipeline-ledger-CHANNEL-…         entries of a channel's ledger

So many images share a repository. A tag is an image's when what follows the prefix is exactly one of its names: with
the prefixes `gnome-` and `gnome-hwe-` the tag `gnome-hwe-stable` is the second one's, since `hwe-stable` is no name.
Evidence and disks belong to a digest (`policy.attached`), prune's records to the repository: these have no prefix.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from itertools import combinations
from string import ascii_lowercase, ascii_uppercase, digits, hexdigits
from typing import NamedTuple

from pipeline.domain import Channel, Commit, Digest, Tag
from pipeline.policy.tags import Version, is_version_tag

RECORDS = "pipeline-"
"""How every record of the pipeline begins, behind the prefix of an image in the case of its ledger."""
PRUNING = Tag(f"{RECORDS}pruning")
PRUNED = f"{RECORDS}pruned-"
PROBES = (Tag(f"{RECORDS}probe-kept"), Tag(f"{RECORDS}probe-removed"))

LONGEST_PREFIX = 20
"""Characters: the name of a ledger entry takes 108 of the 128 that a tag may have."""

CREATED = "org.opencontainers.image.created"
"""The label whose day `{date}` is."""

BARE = "{prefix}"
"""The alias that is the prefix itself, without the separator at its end: `gnome` of `gnome-`."""

RELEASE, TEST = "v{major}.{minor}.{patch}", "v{major}.{minor}.{patch}-test"
CANDIDATE = "{commit}"
LEDGER = f"{RECORDS}ledger-{{channel}}-{{number}}-{{kind}}-{{digest}}"
_NUMBERED = (f"{TEST}.{{number}}", f"{CANDIDATE}.{{number}}")

_LONGEST_TAG = 128
_SEPARATORS = "-._"
_HEX = frozenset(hexdigits.lower())
_OF_A_TAG = frozenset(ascii_lowercase + ascii_uppercase + digits + "._-")


class Run(NamedTuple):
    """What a placeholder stands for: so many characters of a set, and the same as a regular expression."""

    characters: frozenset[str]
    least: int
    most: int
    pattern: str


_NUMBER = Run(frozenset(digits), 1, 9, "(?:0|[1-9][0-9]{0,8})")
_FIELDS = {
    "major": _NUMBER,
    "minor": _NUMBER,
    "patch": _NUMBER,
    "date": Run(frozenset(digits), 8, 8, "[0-9]{8}"),
    "number": Run(frozenset(digits), 1, 9, "[1-9][0-9]{0,8}"),
    "commit": Run(_HEX, 40, 40, "[0-9a-f]{40}"),
    "digest": Run(_HEX, 64, 64, "[0-9a-f]{64}"),
    "channel": Run(frozenset(ascii_lowercase), 4, 7, f"(?:{'|'.join(Channel)})"),
    "kind": Run(frozenset(ascii_lowercase), 4, 9, "[a-z]{4,9}"),
    "rest": Run(_OF_A_TAG, 0, 120, "[A-Za-z0-9._-]{0,120}"),
}
ALIAS_FIELDS = ("major", "minor", "patch", "version", "date")
"""What may stand between braces in an alias; `{version}` is the three numbers with points."""
_VERSION_FIELDS = frozenset({"major", "minor", "patch", "version"})
_ONCE = frozenset({"patch", "version", "date"})
"""Placeholders with which a new release leaves the old alias behind."""

_PIECE = re.compile(r"\{([a-z]+)\}")


class Kind(StrEnum):
    """What a tag of an image is."""

    CHANNEL = "channel"
    VERSION = "version tag"
    CANDIDATE = "candidate"
    ALIAS = "alias"
    LEDGER = "ledger entry"


@dataclass(frozen=True)
class Name:
    """A tag of an image, read."""

    kind: Kind
    channel: Channel
    """The one that it is, follows, or belongs to; candidates belong to next, release tags to stable."""
    plain: Tag
    """What follows the prefix."""
    template: str = ""
    """Of an alias."""

    @property
    def is_dated(self) -> bool:
        """Whether it is an alias that later releases leave behind, such as `stable-20260720`."""
        return is_dated(self.template)


@dataclass(frozen=True)
class Facts:
    """What an alias can tell of the image that it names."""

    version: Version | None = None
    date: str = ""
    """Of its build, as YYYYMMDD in UTC: with the day of the promotion a repeated command would write another tag."""


def date_of(created: str) -> str:
    """The day of an RFC 3339 time, as YYYYMMDD in UTC; empty for what is none."""
    try:
        moment = datetime.fromisoformat(created)
        day = moment.astimezone(UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return ""
    return f"{day:%Y%m%d}".zfill(8)


@dataclass(frozen=True)
class Names:
    """The names of one image."""

    prefix: str = ""
    words: Mapping[Channel, str] = field(default_factory=dict)
    """What channels are called, when not next, testing and stable."""
    aliases: Mapping[Channel, Sequence[str]] = field(default_factory=dict)
    """Templates of further tags that follow a channel."""

    def channel(self, channel: Channel) -> Tag:
        """The tag of a channel."""
        return Tag(self.prefix + self.words.get(channel, channel.value))

    def version(self, name: Tag) -> Tag:
        """The image tag for a version tag as it is called in git."""
        return Tag(self.prefix + name)

    def candidate(self, commit: Commit, number: int = 1) -> Tag:
        """The tag of a commit's first candidate, or of a further one."""
        return Tag(f"{self.prefix}{commit}" + (f".{number}" if number > 1 else ""))

    def alias(self, template: str, facts: Facts) -> Tag | None:
        """An alias of an image with these facts; None when one is missing that the template asks for."""
        if template == BARE:
            return Tag(self.bare)
        asked = set(_PIECE.findall(template))
        if (asked & _VERSION_FIELDS and facts.version is None) or ("date" in asked and not facts.date):
            return None
        version = facts.version or Version(0, 0, 0)
        values = {"major": version.major, "minor": version.minor, "patch": version.patch, "version": version}
        return Tag(self.prefix + template.format(**values, date=facts.date))

    @property
    def bare(self) -> str:
        """The prefix without the separator at its end."""
        return self.prefix.rstrip(_SEPARATORS)

    def read(self, tag: str) -> Name | None:
        """What a tag is to this image; None for every tag that is not its."""
        if not tag.startswith(self.bare):
            return None
        for kind, channel, template in self._named:
            if _pattern(self._whole(template)).fullmatch(tag):
                return Name(kind, channel, Tag(tag[len(self.prefix) :] or tag), template if kind is Kind.ALIAS else "")
        return None

    def versions(self, tags: Iterable[str]) -> list[Tag]:
        """The version tags of the image among these, as they are called in git."""
        plain = (Tag(tag[len(self.prefix) :]) for tag in tags if tag.startswith(self.prefix) and tag != self.prefix)
        return [name for name in plain if is_version_tag(name)]

    def candidates(self, tags: Iterable[str], commit: Commit) -> dict[int, Tag]:
        """The candidates of a commit among these tags, by number."""
        pattern = re.compile(rf"{re.escape(self.prefix)}{commit}(?:\.([2-9]|[1-9][0-9]{{1,8}}))?")
        found = ((tag, pattern.fullmatch(tag)) for tag in tags)
        return {int(match[1] or 1): Tag(tag) for tag, match in found if match}

    def find(self, reference: str) -> Tag | None:
        """The tag that people mean: written out, or without the prefix; channels by either of their names."""
        if reference in list(Channel):
            return self.channel(Channel(reference))
        for tag in (reference, self.prefix + reference):
            if self.read(tag):
                return Tag(tag)
        return None

    @cached_property
    def templates(self) -> list[str]:
        """Every tag of this image, as whole templates."""
        return [self._whole(template) for _, _, template in self._named]

    @cached_property
    def _named(self) -> list[tuple[Kind, Channel, str]]:
        return [
            *((Kind.CHANNEL, channel, self.words.get(channel, channel.value)) for channel in Channel),
            (Kind.VERSION, Channel.STABLE, RELEASE),
            *((Kind.VERSION, Channel.TESTING, template) for template in (TEST, _NUMBERED[0])),
            *((Kind.CANDIDATE, Channel.NEXT, template) for template in (CANDIDATE, _NUMBERED[1])),
            *((Kind.LEDGER, channel, LEDGER.replace("{channel}", channel)) for channel in Channel),
            *((Kind.ALIAS, channel, alias) for channel, aliases in self.aliases.items() for alias in aliases),
        ]

    def _whole(self, template: str) -> str:
        return self.bare if template == BARE else self.prefix + template

    def too_long(self) -> str | None:
        """A name of this image that could become longer than a tag may be; None when there is none."""
        return next((one for _, _, one in self._named if len(_cells(self._whole(one))) > _LONGEST_TAG), None)

    def ambiguous(self) -> tuple[str, str] | None:
        """Two names of this image that one tag could be, but two aliases of one channel; None when there are none."""
        for (kind, channel, one), (other_kind, other_channel, other) in combinations(self._named, 2):
            together = kind is other_kind is Kind.ALIAS and channel is other_channel and one != other
            if not together and meet(self._whole(one), self._whole(other)):
                return one, other
        kept = (f"{RECORDS}{{rest}}", "sha256-{rest}")
        for kind, _, one in self._named:
            if kind is not Kind.LEDGER and (found := next((own for own in kept if meet(self._whole(one), own)), None)):
                return one, found
        return None


def common(one: Names, other: Names) -> tuple[str, str] | None:
    """The templates of a tag that could be either image's; None when each tag tells whose it is."""
    if not (one.bare.startswith(other.bare) or other.bare.startswith(one.bare)):
        return None
    return next(((mine, theirs) for mine in one.templates for theirs in other.templates if meet(mine, theirs)), None)


def is_dated(template: str) -> bool:
    """Whether a release leaves the alias of the one before it behind."""
    return bool(_ONCE & set(_PIECE.findall(template)))


def needs_version(template: str) -> bool:
    """Whether an alias can only be made of a release."""
    return bool(_VERSION_FIELDS & set(_PIECE.findall(template)))


def ledger_tag(prefix: str, channel: Channel, number: int, kind: str, digest: Digest) -> Tag:
    """Where an entry of a ledger lies."""
    return Tag(prefix + LEDGER.format(channel=channel, number=number, kind=kind, digest=digest.hex))


_ENTRY = re.compile(
    rf"(.*){RECORDS}ledger-({'|'.join(Channel)})-([1-9][0-9]{{0,8}})-([a-z]{{4,9}})-([0-9a-f]{{64}})", re.ASCII
)


def read_ledger_tag(tag: str) -> tuple[str, Channel, int, str, Digest] | None:
    """Prefix, channel, number, kind and digest of an entry, whosoever it is; None for every other tag."""
    if not (found := _ENTRY.fullmatch(tag)):
        return None
    prefix, channel, number, kind, digest = found.groups()
    return prefix, Channel(channel), int(number), kind, Digest(f"sha256:{digest}")


@lru_cache(maxsize=8192)
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile("".join(_FIELDS[name].pattern if name else re.escape(text) for text, name in _pieces(template)))


@lru_cache(maxsize=8192)
def _cells(template: str) -> tuple[tuple[frozenset[str], bool], ...]:
    """Character by character: which may stand there, and whether there may be none."""
    found: list[tuple[frozenset[str], bool]] = []
    for text, name in _pieces(template):
        run = _FIELDS[name] if name else None
        found += [(run.characters, at >= run.least) for at in range(run.most)] if run else []
        found += [] if run else [(frozenset(character), False) for character in text]
    return tuple(found)


def _pieces(template: str) -> Iterator[tuple[str, str]]:
    """A template as literal texts and names of placeholders, one of the two each time."""
    for number, piece in enumerate(_PIECE.split(template.replace("{version}", "{major}.{minor}.{patch}"))):
        yield ("", piece) if number % 2 else (piece, "")


def meet(one: str, other: str) -> bool:
    """Whether a tag exists that both templates could have written.

    A walk over pairs of places in the two, as over the product of two finite automata.
    """
    a, b = _cells(one), _cells(other)
    seen, open_ends = {(0, 0)}, [(0, 0)]
    while open_ends:
        i, j = open_ends.pop()
        if (i, j) == (len(a), len(b)):
            return True
        steps = [(i + 1, j)] if i < len(a) and a[i][1] else []
        steps += [(i, j + 1)] if j < len(b) and b[j][1] else []
        steps += [(i + 1, j + 1)] if i < len(a) and j < len(b) and a[i][0] & b[j][0] else []
        open_ends += [step for step in steps if step not in seen]
        seen.update(steps)
    return False
