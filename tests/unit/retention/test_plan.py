"""What the plan decides, case by case."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from pipeline.domain import Digest, Tag
from pipeline.policy.retention import Blob, Graph, Kind, Manifest, RetentionPlan, Rules, UnsupportedDigest, plan
from pipeline.policy.retention import read_manifest as read
from pipeline.policy.retention.rules import Role

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RULES = Rules(keep_last=0, older_than="30d", max_percent=100)
INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE = "application/vnd.oci.image.manifest.v1+json"


def d(number: int) -> Digest:
    return Digest(f"sha256:{number:064x}")


def sha(number: int) -> Tag:
    return Tag(f"{number:040x}")


def image(number: int, days: float | None = 100, **more: object) -> Manifest:
    created = None if days is None else NOW - timedelta(days=days)
    return Manifest(d(number), IMAGE, Kind.IMAGE, created=created, **more)  # type: ignore[arg-type]


def graph(*manifests: Manifest, tags: dict[str, int] | None = None, **more: object) -> Graph:
    named = {Tag(tag): d(number) for tag, number in (tags or {}).items()}
    return Graph({one.digest: one for one in manifests}, named, **more)  # type: ignore[arg-type]


def gone(made: RetentionPlan) -> set[int]:
    return {int(one.digest.hex, 16) for one in made.deletions}


@pytest.mark.parametrize(
    ("tag", "role"),
    [
        ("stable", Role.CHANNEL),
        ("v1.2.3", Role.VERSION),
        ("v1.2.3-test.4", Role.VERSION),
        ("v1.2.3-rc1", Role.VERSION),
        ("pipeline-ledger-next", Role.RECORD),
        ("golden", Role.PATTERN),
        ("f" * 40, Role.CANDIDATE),
        ("f" * 39, Role.FOREIGN),
        ("pr-7", Role.CANDIDATE),
        ("latest", Role.FOREIGN),
        (f"sha256-{'0' * 64}", Role.ATTACHED),
        (f"sha256-{'0' * 64}.sbom", Role.ATTACHED),
        ("sha256-0", Role.FOREIGN),
    ],
)
def test_what_a_tag_means(tag: str, role: Role) -> None:
    assert Rules(keep_tags=("gold*",), prune_tags=("pr-*", "v*", "stable", "gold*")).role(Tag(tag)) is role


def test_age_and_number_must_both_be_exceeded() -> None:
    shop = graph(*(image(n, days) for n, days in enumerate([10, 40, 50, 60])), tags={sha(n): n for n in range(4)})
    assert gone(plan(shop, RULES, NOW)) == {1, 2, 3}
    assert gone(plan(shop, RULES.model_copy(update={"keep_last": 3}), NOW)) == {3}
    assert gone(plan(shop, RULES.model_copy(update={"keep_last": 4}), NOW)) == set()


def test_no_rule_lifts_the_floor_of_24_hours() -> None:
    rules = Rules(keep_last=0, older_than="0s", max_percent=100)
    shop = graph(image(1, 0.99), image(2, 1.01), image(3, -2), tags={sha(n): n for n in (1, 2, 3)})
    assert gone(plan(shop, rules, NOW)) == {2}


def test_a_young_child_stays_while_its_old_index_goes() -> None:
    index = Manifest(d(9), INDEX, Kind.INDEX, children=(d(1), d(2)), created=NOW - timedelta(days=50))
    assert gone(plan(graph(index, image(1), image(2, 0.5), tags={sha(1): 9}), RULES, NOW)) == {9, 1}


def test_push_time_wins_over_the_created_label() -> None:
    shop = graph(image(1, 500), tags={sha(1): 1}, pushed={d(1): NOW - timedelta(days=2)})
    assert gone(plan(shop, RULES, NOW)) == set()


def test_an_index_without_a_date_is_as_old_as_its_youngest_child() -> None:
    index = Manifest(d(9), INDEX, Kind.INDEX, children=(d(1), d(2)))
    assert gone(plan(graph(index, image(1, 90), image(2, 20), tags={sha(1): 9}), RULES, NOW)) == set()
    assert gone(plan(graph(index, image(1, 90), image(2, 40), tags={sha(1): 9}), RULES, NOW)) == {9, 1, 2}
    assert gone(plan(graph(index, image(1, None), tags={sha(1): 9}), RULES, NOW)) == set()


def test_what_stable_pointed_at_last_stays_without_a_tag() -> None:
    shop = graph(*(image(n) for n in range(5)), stable_histories=((d(0), d(1), d(0), d(2), d(3)),))
    assert gone(plan(shop, RULES, NOW)) == {3, 4}
    assert gone(plan(shop, RULES.model_copy(update={"rollback_targets": 1}), NOW)) == {1, 2, 3, 4}


def test_a_ledger_entry_stays_for_ever_by_its_own_tag() -> None:
    name = f"pipeline-ledger-stable-1-promotion-{d(0).hex}"
    made = plan(graph(Manifest(d(0), IMAGE, Kind.ARTIFACT), tags={name: 0}), RULES, NOW)
    assert not made.deletions
    assert made.why_kept(d(0))[-1].endswith(f"stays: {name}: record of the pipeline")


def test_evidence_and_disks_go_with_their_image_and_stay_with_it() -> None:
    shop = graph(
        image(1),
        image(2),
        Manifest(d(11), IMAGE, Kind.ARTIFACT, subject=d(1)),
        Manifest(d(12), IMAGE, Kind.ARTIFACT, subject=d(2)),
        Manifest(d(13), IMAGE, Kind.ARTIFACT, subject=d(12)),
        tags={"stable": 1, sha(2): 2},
    )
    made = plan(shop, RULES, NOW)
    assert [one.digest for one in made.deletions] == [d(13), d(12), d(2)]


def test_fresh_evidence_protects_an_old_image() -> None:
    fresh = Manifest(d(12), IMAGE, Kind.ARTIFACT, subject=d(2), created=NOW - timedelta(hours=2))
    assert gone(plan(graph(image(2), fresh, tags={sha(2): 2}), RULES, NOW)) == set()


def test_deleting_can_uncover_more_in_the_same_plan() -> None:
    """A referrer whose subject goes competes for `keep_last` among the untagged; one plan settles it for good."""
    rules = RULES.model_copy(update={"keep_last": 1})
    kept_child = image(3, 35)
    index = Manifest(d(9), INDEX, Kind.INDEX, children=(d(3),), created=NOW - timedelta(days=60))
    untagged = image(4, 50)
    young = image(5, 2)
    holder = Manifest(d(6), IMAGE, Kind.ARTIFACT, subject=d(3), created=NOW - timedelta(days=31))
    shop = graph(kept_child, index, untagged, young, holder, tags={sha(9): 9, sha(5): 5, "pr-1": 6})
    rules = rules.model_copy(update={"prune_tags": ("pr-*",)})
    made = plan(shop, rules, NOW)
    rest = shop.without({one.digest for one in made.deletions})
    assert plan(rest, rules, NOW).empty


def test_a_last_tag_is_never_taken_away() -> None:
    tags = {"night-1": 1, sha(1): 1, "v1.0.0": 1, "night-2": 2, "night-3": 2}
    shop = graph(image(1), image(2), tags=tags, stable_histories=((d(2),),))
    rules = RULES.model_copy(update={"prune_tags": ("night-*",)})
    assert [one.tag for one in plan(shop, rules, NOW, can_untag=True).untags] == ["night-1"]
    assert plan(shop, rules, NOW).untags == ()


@pytest.mark.parametrize(("count", "percent", "word"), [(1, 100, "max_deletions"), (100, 60, "max_percent")])
def test_limits_refuse_but_still_show_the_plan(count: int, percent: float, word: str) -> None:
    shop = graph(*(image(n) for n in range(3)), tags={"stable": 0, sha(1): 1, sha(2): 2})
    made = plan(shop, Rules(keep_last=0, max_deletions=count, max_percent=percent), NOW)
    assert word in made.refused
    assert len(made.deletions) == 2


def test_freed_bytes_do_not_count_what_is_shared_with_the_kept() -> None:
    layers = [Blob(f"sha256:{n:064x}", 1000 * n) for n in range(4)]
    shop = graph(
        image(1, size=7, blobs=(layers[1], layers[2])),
        image(2, size=7, blobs=(layers[2], layers[3])),
        image(3, size=7, blobs=(layers[3],)),
        tags={"stable": 1, sha(2): 2, sha(3): 3},
    )
    assert plan(shop, RULES, NOW).freed == 3000 + 14


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"mediaType": INDEX, "manifests": [{"digest": d(1)}, {"digest": d(1)}]}, Kind.INDEX),
        ({"mediaType": INDEX, "manifests": None}, Kind.INDEX),
        ({"mediaType": INDEX, "manifests": [{"digest": "sha256:x"}]}, Kind.UNKNOWN),
        ({"mediaType": INDEX, "manifests": 7}, Kind.UNKNOWN),
        ({"mediaType": "application/vnd.oci.artifact.manifest.v1+json", "blobs": []}, Kind.ARTIFACT),
        ({"mediaType": "application/vnd.other", "see": [d(1)]}, Kind.UNKNOWN),
        ({"schemaVersion": 1}, Kind.UNKNOWN),
        ([1, 2], Kind.UNKNOWN),
    ],
)
def test_what_a_manifest_is(document: object, kind: Kind) -> None:
    found = read(d(5), "", json.dumps(document).encode())
    assert found.kind is kind
    if d(1) in json.dumps(document):
        assert found.children == (d(1),)


@pytest.mark.parametrize("content", [b"<html>", b"[" * 100_000, b"\xff\xfe"])
def test_content_that_is_no_json_is_unknown(content: bytes) -> None:
    assert read(d(5), "text/html", content).kind is Kind.UNKNOWN


@pytest.mark.parametrize("size", ["1e999", "Infinity", "NaN", "9" * 5000, '"7 MB"', "[]"])
def test_a_manifest_of_a_size_that_is_none_keeps_what_it_names(size: str) -> None:
    document = f'{{"mediaType": "{INDEX}", "manifests": [{{"digest": "{d(1)}", "size": {size}}}]}}'
    assert read(d(5), INDEX, document.encode()).children == (d(1),)


def test_a_digest_in_capitals_is_one_that_is_mentioned() -> None:
    document = {"mediaType": INDEX, "manifests": [{"digest": f"sha256:{d(171).hex.upper()}"}]}
    assert read(d(5), INDEX, json.dumps(document).encode()).children == (d(171),)


def test_other_digests_than_sha256_cannot_be_followed() -> None:
    document = {"mediaType": INDEX, "manifests": [{"digest": "sha512:" + "0" * 128}]}
    with pytest.raises(UnsupportedDigest, match="sha512"):
        read(d(5), INDEX, json.dumps(document).encode())


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("2026-01-02T03:04:05Z", True),
        ("2026-01-02T03:04:05.123456789Z", True),
        ("2026-01-02T03:04:05", True),
        ("1970-01-01T00:00:00Z", False),
        ("1980-01-01T00:00:01Z", False),
        ("0001-01-01T00:00:00Z", False),
        ("yesterday", False),
        (7, False),
    ],
)
def test_dates_of_reproducible_builds_tell_no_age(text: object, known: bool) -> None:
    document = {"mediaType": INDEX, "annotations": {"org.opencontainers.image.created": text}}
    assert (read(d(5), INDEX, json.dumps(document).encode()).created is not None) is known


@pytest.mark.parametrize("wrong", [{"keep_last": -1}, {"older_than": "soon"}, {"max_percent": 101}, {"unknown": 1}])
def test_wrong_rules_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Rules.model_validate(wrong)
