"""Random repositories, random rules: what a root reaches is never planned, and pulls completely afterwards."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain import Digest, Tag
from pipeline.policy.retention import FLOOR, Blob, Graph, Kind, Manifest, RetentionPlan, Rules, plan

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DIGESTS = [Digest(f"sha256:{number:064x}") for number in range(14)]
ROOT_TAGS = ["next", "testing", "stable", "v1.0.0", "v1.2.3-test", "v1.2.3-test.2", "pipeline-ledger-stable"]
KEPT_TAGS = ["golden-1", "latest", "main"]
CANDIDATE_TAGS = [f"{number:040x}" for number in range(8)] + ["pr-1", "pr-2"]
ATTACHED_TAGS = [f"sha256-{digest.hex}{end}" for digest in DIGESTS[:8] for end in ("", ".sig", ".att", ".sbom")]

digests = st.sampled_from(DIGESTS)
times = st.none() | st.integers(-72, 24 * 90).map(lambda hours: NOW - timedelta(hours=hours))


@st.composite
def manifests(draw: st.DrawFn, digest: Digest) -> Manifest:
    kind = draw(st.sampled_from([Kind.INDEX, Kind.INDEX, Kind.IMAGE, Kind.ARTIFACT, Kind.ARTIFACT, Kind.UNKNOWN]))
    names = kind in (Kind.INDEX, Kind.UNKNOWN)
    return Manifest(
        digest,
        f"application/{kind}",
        kind,
        size=draw(st.integers(0, 9)),
        children=tuple(draw(st.lists(digests, max_size=3, unique=True))) if names else (),
        subject=draw(st.none() | digests),
        blobs=tuple(Blob(f"sha256:{blob:064x}", 100 + blob) for blob in draw(st.lists(st.integers(0, 5), max_size=2))),
        created=draw(times),
    )


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    present = draw(st.lists(digests, unique=True, max_size=len(DIGESTS)))
    names = st.sampled_from([*ROOT_TAGS, *KEPT_TAGS, *CANDIDATE_TAGS, *CANDIDATE_TAGS, *ATTACHED_TAGS]).map(Tag)
    return Graph(
        manifests={digest: draw(manifests(digest)) for digest in present},
        tags=draw(st.dictionaries(names, digests, max_size=10)),
        pushed={digest: time for digest in present if (time := draw(times))} if draw(st.booleans()) else {},
        stable_histories=(tuple(draw(st.lists(digests, max_size=4))),),
        leftovers=frozenset(draw(st.sets(digests, max_size=2))),
    )


rules = st.builds(
    Rules,
    keep_last=st.integers(0, 3),
    older_than=st.integers(0, 60).map(lambda days: f"{days}d"),
    rollback_targets=st.integers(1, 3),
    keep_tags=st.just(("golden-*",)),
    prune_tags=st.just(("pr-*", "next", "v*", "*-ledger-*")),
    max_percent=st.just(100),
)


def must_stay(graph: Graph, rules: Rules) -> set[Digest]:
    """The oracle: the roots of DESIGN section 7 and a slow fixpoint, written without the code under test."""
    roots = {graph.tags[Tag(tag)] for tag in [*ROOT_TAGS, *KEPT_TAGS] if tag in graph.tags}
    distinct: list[Digest] = []
    for digest in graph.stable_histories[0]:
        if digest not in distinct:
            distinct.append(digest)
    roots |= set(distinct[: rules.rollback_targets])
    for digest, manifest in graph.manifests.items():
        time = graph.pushed.get(digest, manifest.created)
        if manifest.kind is Kind.UNKNOWN or (time and time > NOW - FLOOR):
            roots.add(digest)
    stay = roots & set(graph.manifests)
    while True:
        more = set()
        for digest in stay:
            own = graph.manifests[digest]
            more |= {*own.children, own.subject}
            more |= {other.digest for other in graph.manifests.values() if other.subject == digest}
            more |= {to for tag, to in graph.tags.items() if tag.startswith(f"sha256-{digest.hex}")}
        more &= set(graph.manifests)
        if more <= stay:
            return stay
        stay |= more


def prefixes(graph: Graph, made: RetentionPlan) -> Iterator[tuple[set[Digest], Graph]]:
    """The repository after each single deletion of the plan."""
    gone: set[Digest] = set()
    for deletion in made.deletions:
        gone.add(deletion.digest)
        yield gone, graph.without(gone)


@settings(max_examples=300, deadline=None)
@given(graphs(), rules)
def test_nothing_that_a_root_reaches_is_planned(graph: Graph, rules: Rules) -> None:
    made = plan(graph, rules, NOW, can_untag=True)
    doomed = [deletion.digest for deletion in made.deletions]
    assert not set(doomed) & must_stay(graph, rules)
    assert len(doomed) == len(set(doomed))
    assert set(doomed) | set(made.kept) == set(graph.manifests)
    assert not set(doomed) & set(made.kept)


@settings(max_examples=100, deadline=None)
@given(graphs(), rules)
def test_every_root_pulls_completely_after_each_single_deletion(graph: Graph, rules: Rules) -> None:
    stay = must_stay(graph, rules)
    root_tags = {tag: graph.tags[Tag(tag)] for tag in [*ROOT_TAGS, *KEPT_TAGS] if tag in graph.tags}
    for gone, rest in prefixes(graph, plan(graph, rules, NOW)):
        assert stay <= set(rest.manifests)
        assert {tag: rest.tags.get(Tag(tag)) for tag, to in root_tags.items() if to not in gone} == root_tags
        for manifest in rest.manifests.values():
            if manifest.digest in stay:
                lost = {*manifest.children} & set(graph.manifests) - set(rest.manifests)
                assert not lost


@settings(max_examples=100, deadline=None)
@given(graphs(), rules, st.data())
def test_a_second_run_finishes_an_interrupted_one_and_a_third_finds_nothing(
    graph: Graph, rules: Rules, data: st.DataObject
) -> None:
    made = plan(graph, rules, NOW, can_untag=True)
    done = data.draw(st.integers(0, len(made.deletions)))
    gone = {deletion.digest for deletion in made.deletions[:done]}
    rest = graph.without(gone)
    again = plan(rest, rules, NOW, can_untag=True)
    assert not {deletion.digest for deletion in again.deletions} & must_stay(graph, rules)
    after = rest.without({deletion.digest for deletion in again.deletions})
    untagged = {untag.tag for untag in again.untags}
    tags = {tag: digest for tag, digest in after.tags.items() if tag not in untagged}
    final = Graph(after.manifests, tags, graph.pushed, graph.stable_histories, graph.leftovers)
    assert plan(final, rules, NOW, can_untag=True).empty


@settings(max_examples=100, deadline=None)
@given(graphs(), rules)
def test_an_untagged_digest_keeps_a_tag_of_its_own_right(graph: Graph, rules: Rules) -> None:
    made = plan(graph, rules, NOW, can_untag=True)
    removed = {untag.tag for untag in made.untags}
    for untag in made.untags:
        assert untag.tag in CANDIDATE_TAGS
        others = {tag for tag, digest in graph.tags.items() if digest == untag.digest} - removed
        assert others & {*ROOT_TAGS, *KEPT_TAGS}
        assert untag.digest in made.kept


@settings(max_examples=300, deadline=None)
@given(graphs(), rules)
def test_every_manifest_that_stays_can_say_why(graph: Graph, rules: Rules) -> None:
    made = plan(graph, rules, NOW)
    for digest in made.kept:
        *steps, root = made.why_kept(digest)
        assert " stays: " in root
        assert all(" is " in step for step in steps)
    for deletion in made.deletions:
        assert made.why_kept(deletion.digest) == []
        assert deletion.reason
