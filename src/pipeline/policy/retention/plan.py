"""What goes, what stays and why: everything that deletes follows a plan made here."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.domain import Digest, Tag
from pipeline.policy.attached import subject_of_tag
from pipeline.policy.retention.graph import Edge, Graph, Kind
from pipeline.policy.retention.rules import FLOOR, Role, Rules


@dataclass(frozen=True, slots=True)
class Deletion:
    """A manifest that goes."""

    digest: Digest
    media_type: str
    kind: Kind
    tags: tuple[Tag, ...]
    """All tags that point at it; they go with it."""
    reason: str
    time: datetime | None = None
    """When it was pushed or created, where that is known."""


@dataclass(frozen=True, slots=True)
class Untag:
    """An old tag that goes while its digest stays, under another tag."""

    tag: Tag
    digest: Digest
    reason: str


Step = tuple[Edge, Digest] | None


@dataclass(frozen=True)
class RetentionPlan:
    """The deletions in the order in which they happen (referrers, index, children), and the reasons for the rest."""

    deletions: tuple[Deletion, ...]
    untags: tuple[Untag, ...]
    kept: Mapping[Digest, str]
    """Every manifest that stays, with the rule that keeps it or the step that leads to it."""
    freed: int
    """Bytes at most: manifests and blobs that nothing kept names, as far as it was read. Freed by the registry's own
    collection."""
    refused: str = ""
    """Why this plan must not be carried out as it is (a limit); empty when it may."""
    paths: Mapping[Digest, Step] = field(default_factory=dict, repr=False)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.deletions and not self.untags

    def why_kept(self, digest: Digest) -> list[str]:
        """The way from the rule to this digest, one line a step; empty when it goes or is not in the repository."""
        if digest not in self.kept:
            return []
        lines, at = [], digest
        while step := self.paths.get(at):
            edge, source = step
            lines.append(f"{at} is {edge.how} {source}")
            at = source
        return [*lines, f"{at} stays: {self.kept[at]}"]


def plan(graph: Graph, rules: Rules, now: datetime, *, can_untag: bool = False) -> RetentionPlan:
    """Decide over every manifest of a listed repository (DESIGN, section 7).

    `now` is the registry's idea of the time. `can_untag`: whether the registry can take one tag from a digest.
    What is not claimed by a rule, not understood or of unknown age stays.
    """
    doomed: dict[Digest, str] = {}
    rest = graph
    while (verdict := _verdict(rest, rules, now)).doomed:
        doomed |= verdict.doomed
        rest = graph.without(doomed)
    deletions = tuple(_deletion(graph, digest, doomed[digest]) for digest in _ordered(graph, doomed))
    return RetentionPlan(
        deletions=deletions,
        untags=tuple(_untags(rest, rules, now)) if can_untag else (),
        kept=verdict.kept,
        freed=_freed(graph, doomed),
        refused=over_limit(rules, len(doomed), len(graph.manifests)),
        paths=verdict.paths,
    )


@dataclass(frozen=True)
class _Verdict:
    doomed: dict[Digest, str]
    kept: dict[Digest, str]
    paths: dict[Digest, Step]


def _verdict(graph: Graph, rules: Rules, now: datetime) -> _Verdict:
    """One look at the graph. What it dooms can uncover more (a referrer whose subject goes stands alone afterwards)."""
    roots = _roots(graph, rules, now)
    stays, goes = _judged(graph, rules, now, graph.reached(roots, graph.needed))
    reasons = roots | stays
    claimed = graph.reached(goes, graph.owned)
    kept = graph.reached(reasons, graph.needed)
    if unclaimed := [digest for digest in graph.manifests if digest not in kept and digest not in claimed]:
        reasons |= dict.fromkeys(unclaimed, "no rule claims it")
        kept = graph.reached(reasons, graph.needed)
    return _Verdict(
        doomed={digest: goes.get(digest) or _step_text(step) for digest, step in claimed.items() if digest not in kept},
        kept={digest: reasons.get(digest) or _step_text(step) for digest, step in kept.items()},
        paths=kept,
    )


def undecided(graph: Graph, rules: Rules, now: datetime) -> list[Digest]:
    """What no root holds, so far as it is known: the rest of the rules decides over it."""
    held = graph.reached(_roots(graph, rules, now), graph.needed)
    return [digest for digest in graph.manifests if digest not in held]


def _roots(graph: Graph, rules: Rules, now: datetime) -> dict[Digest, str]:
    """What stays whatever its age, with the rule that says so."""
    roots: dict[Digest, str] = {}
    roles = {tag: rules.role(tag) for tag in sorted(graph.tags)}
    for role in Role:
        if role.is_root:
            for tag in (tag for tag, found in roles.items() if found is role):
                roots.setdefault(graph.tags[tag], f"{tag}: {role}")
    for history in graph.stable_histories:
        targets = list(dict.fromkeys(history))[: rules.rollback_targets]
        for digest in targets:
            roots.setdefault(digest, f"one of the last {len(targets)} that stable pointed at")
    for digest, manifest in graph.manifests.items():
        if manifest.kind is Kind.UNKNOWN:
            roots.setdefault(digest, f"not understood ({manifest.media_type or 'no media type'})")
        elif (time := graph.time(digest)) and now - time < FLOOR:
            roots.setdefault(digest, "younger than 24 hours")
    return roots


def _judged(
    graph: Graph, rules: Rules, now: datetime, held: Mapping[Digest, Step]
) -> tuple[dict[Digest, str], dict[Digest, str]]:
    """Candidates and untagged manifests that no root holds: which the rules keep, which go, and why."""
    stays: dict[Digest, str] = {}
    goes: dict[Digest, str] = {}
    groups = defaultdict[tuple[str, str], list[Digest]](list)
    for digest in graph.manifests:
        if digest in held:
            continue
        if mine := _images_of_candidate(rules, graph.tags_of(digest)):
            for prefix in mine:
                groups["candidates", prefix].append(digest)
        elif digest in graph.leftovers and graph.stands_alone(digest) and not graph.tags_of(digest):
            goes[digest] = "left over from an interrupted run"
        elif graph.stands_alone(digest):
            groups["untagged manifests", ""].append(digest)
    for (name, _), digests in groups.items():
        times = {digest: time for digest in digests if (time := graph.time(digest))}
        stays |= dict.fromkeys((digest for digest in digests if digest not in times), "of unknown age")
        newest = sorted(times, key=lambda digest: (times[digest], digest), reverse=True)
        for rank, digest in enumerate(newest):
            if rank < rules.keep_last:
                stays[digest] = f"among the newest {rules.keep_last} {name}"
            elif now - times[digest] <= rules.age:
                stays[digest] = f"{name[:-1]} younger than {_days(rules.age.total_seconds())}"
            else:
                goes[digest] = f"{name[:-1]} of {times[digest]:%Y-%m-%d}"
    return stays, {digest: why for digest, why in goes.items() if digest not in stays}


def _images_of_candidate(rules: Rules, tags: Iterable[Tag]) -> set[str]:
    """The prefixes of the images whose candidate a digest is by its tags: each image keeps its own newest."""
    owners = [rules.owner(tag) for tag in tags if rules.role(tag) is Role.CANDIDATE]
    return {owner.prefix for owner in owners if owner}


def _untags(graph: Graph, rules: Rules, now: datetime) -> Iterator[Untag]:
    """Old extra tags of digests that stay under a tag of their own right; those of a channel keep all tags.

    The tag of a commit stays with its image: without it the commit counts as never built, and the rerun of an old
    release would wait for a build or make another one. An alias that later releases left behind goes like a candidate.
    """
    groups = defaultdict[tuple[Role, str], list[Tag]](list)
    for tag in sorted(graph.tags):
        if (role := rules.role(tag)) in (Role.CANDIDATE, Role.DATED) and (owner := rules.owner(tag)):
            groups[role, owner.prefix].append(tag)
    for tags in groups.values():
        times = {digest: time for tag in tags if (time := graph.time(digest := graph.tags[tag]))}
        newest = sorted(times, key=lambda digest: (times[digest], digest), reverse=True)
        beyond = {digest for digest in newest[rules.keep_last :] if now - times[digest] > rules.age}
        for tag in (tag for tag in tags if not rules.is_commit(tag)):
            digest = graph.tags[tag]
            roles = {name: rules.role(name) for name in graph.tags_of(digest)}
            others = [name for name, role in roles.items() if role.is_root and role is not Role.DATED]
            if digest in beyond and others and not {Role.CHANNEL, Role.ALIAS} & set(roles.values()):
                yield Untag(tag=tag, digest=digest, reason=f"old; the digest stays as {others[0]}")


def _ordered(graph: Graph, doomed: Iterable[Digest]) -> list[Digest]:
    """Each manifest before what it needs to be whole, so that an interruption leaves nothing broken behind.

    Kahn's algorithm; where references run in a circle, the smallest digest goes first.
    """
    waiting = dict.fromkeys(doomed, 0)
    before: dict[Digest, set[Digest]] = defaultdict(set)
    for digest in waiting:
        manifest = graph.manifests[digest]
        subjects = [manifest.subject, *(subject_of_tag(tag) for tag in graph.tags_of(digest))]
        before[digest] = {other for other in (*manifest.children, *subjects) if other in waiting and other != digest}
    for others in before.values():
        for other in others:
            waiting[other] += 1
    ready = [digest for digest, above in waiting.items() if above == 0]
    heapq.heapify(ready)
    ring = sorted(waiting, reverse=True)
    order: dict[Digest, None] = {}
    while len(order) < len(waiting):
        digest = heapq.heappop(ready) if ready else ring.pop()
        if digest in order:
            continue
        order[digest] = None
        for other in before[digest]:
            waiting[other] -= 1
            if waiting[other] == 0:
                heapq.heappush(ready, other)
    return list(order)


def _deletion(graph: Graph, digest: Digest, reason: str) -> Deletion:
    manifest = graph.manifests[digest]
    return Deletion(
        digest=digest,
        media_type=manifest.media_type,
        kind=manifest.kind,
        tags=graph.tags_of(digest),
        reason=reason,
        time=graph.time(digest),
    )


def _freed(graph: Graph, doomed: Iterable[Digest]) -> int:
    gone = set(doomed)
    still = {
        blob.digest for digest, manifest in graph.manifests.items() if digest not in gone for blob in manifest.blobs
    }
    blobs = {blob for digest in gone for blob in graph.manifests[digest].blobs if blob.digest not in still}
    return sum(size for size in dict(blobs).values()) + sum(graph.manifests[digest].size for digest in gone)


def over_limit(rules: Rules, count: int, total: int, noun: str = "manifests") -> str:
    """Why so many deletions are refused; empty when they are not."""
    if count > rules.max_deletions:
        return f"{count} {noun} would go; max_deletions in [retention] allows {rules.max_deletions}"
    share = 100 * count / total if total else 0.0
    if share > rules.max_percent:
        allowed = f"max_percent in [retention] allows {rules.max_percent:g}"
        return f"{count} of {total} {noun} ({share:.0f} percent) would go; {allowed}"
    return ""


def _step_text(step: Step) -> str:
    return f"{step[0].how} {step[1]}" if step else ""


def _days(seconds: float) -> str:
    return f"{seconds / 86400:g} days"
