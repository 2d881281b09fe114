"""Every tag of an image is spelled and read in one place; one tag is never two images'."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.config import parse
from pipeline.domain import Channel, Commit, Digest, Tag
from pipeline.errors import UsageError
from pipeline.policy.names import Facts, Kind, Names, common, date_of, ledger_tag, meet, read_ledger_tag
from pipeline.policy.tags import ReleaseTag, TestTag, Version

COMMIT, DIGEST = Commit("ab" * 20), Digest("sha256:" + "cd" * 32)
GNOME = Names(
    "gnome-", {Channel.STABLE: "gts"}, {Channel.STABLE: ("latest", "{prefix}", "{major}", "stable-{date}", "{version}")}
)
HWE = Names("gnome-hwe-")
FACTS = Facts(Version(44, 20260720, 1), "20260720")


def test_every_tag_has_the_prefix_and_is_read_back():
    written = {
        GNOME.channel(Channel.NEXT): (Kind.CHANNEL, Channel.NEXT, "next"),
        GNOME.channel(Channel.STABLE): (Kind.CHANNEL, Channel.STABLE, "gts"),
        GNOME.version(Tag("v44.20260720.1-test.2")): (Kind.VERSION, Channel.TESTING, "v44.20260720.1-test.2"),
        GNOME.version(Tag("v44.20260720.1")): (Kind.VERSION, Channel.STABLE, "v44.20260720.1"),
        GNOME.candidate(COMMIT): (Kind.CANDIDATE, Channel.NEXT, COMMIT),
        GNOME.candidate(COMMIT, 2): (Kind.CANDIDATE, Channel.NEXT, f"{COMMIT}.2"),
        ledger_tag("gnome-", Channel.STABLE, 7, "promotion", DIGEST): (
            Kind.LEDGER,
            Channel.STABLE,
            f"pipeline-ledger-stable-7-promotion-{DIGEST.hex}",
        ),
    }
    assert all(tag.startswith("gnome-") for tag in written)
    read = {tag: GNOME.read(tag) for tag in written}
    assert {tag: name and (name.kind, name.channel, name.plain) for tag, name in read.items()} == written


def test_aliases_tell_version_and_day_and_the_prefix_itself_loses_its_separator():
    aliases = [GNOME.alias(template, FACTS) for template in GNOME.aliases[Channel.STABLE]]
    assert aliases == ["gnome-latest", "gnome", "gnome-44", "gnome-stable-20260720", "gnome-44.20260720.1"]
    names = [name for alias in aliases if alias and (name := GNOME.read(alias))]
    assert [name.kind for name in names] == [Kind.ALIAS] * 5
    assert [name.is_dated for name in names] == [False, False, False, True, True]
    assert GNOME.alias("{major}", Facts(date="20260720")) is None
    assert GNOME.alias("stable-{date}", Facts(Version(1, 0, 0))) is None


@pytest.mark.parametrize(
    ("created", "day"),
    [
        ("2026-07-20T23:30:00+00:00", "20260720"),
        ("2026-07-20T23:30:00Z", "20260720"),
        ("2026-07-20T23:30:00-02:00", "20260721"),
        ("2026-07-20T23:30:00", "20260720"),
        ("0001-01-01T00:00:00Z", "00010101"),  # what Go makes of no time at all
        ("0001-01-01T00:00:00+14:00", ""),
        ("9999-12-31T23:59:59-14:00", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_the_day_of_an_image_is_that_of_its_build_in_utc(created: str, day: str):
    assert date_of(created) == day


def test_date_versions_are_versions():
    newer, older = ReleaseTag.parse("v44.20260720.1"), ReleaseTag.parse("v44.20260720.0")
    assert newer > older > ReleaseTag.parse("v44.20260719.3") > ReleaseTag.parse("v43.20261231.0")
    assert TestTag.parse("v44.20260720.0-test").version == older.version


def test_a_tag_is_an_images_when_what_follows_the_prefix_is_exactly_one_of_its_names():
    theirs = [HWE.channel(Channel.STABLE), HWE.version(Tag("v1.0.0")), HWE.candidate(COMMIT)]
    theirs.append(ledger_tag("gnome-hwe-", Channel.NEXT, 1, "hold", DIGEST))
    assert all(HWE.read(tag) and not GNOME.read(tag) for tag in theirs)
    nobodys = [
        "gnome-stable",
        "gnome-foo",
        "gnome-v1.0",
        "gnome-hwe",
        "kde-next",
        "next",
        f"gnome-{COMMIT}.0",
        "gnome-",
    ]
    assert not [tag for tag in nobodys if GNOME.read(tag) or HWE.read(tag)]


def test_what_people_write_is_found_with_and_without_the_prefix():
    assert GNOME.find("stable") == GNOME.find("gts") == GNOME.find("gnome-gts") == "gnome-gts"
    assert GNOME.find("v1.0.0") == GNOME.find("gnome-v1.0.0") == "gnome-v1.0.0"
    assert GNOME.find(COMMIT) == f"gnome-{COMMIT}"
    assert GNOME.find("44") == "gnome-44"
    assert GNOME.find("nothing") is None


def test_versions_and_candidates_of_an_image_among_all_tags_of_a_repository():
    tags = ["v9.9.9", "gnome-v1.0.0", "gnome-v1.0.0-test", "gnome-hwe-v2.0.0", "gnome-next", f"gnome-{COMMIT}"]
    tags += [f"gnome-{COMMIT}.12", f"gnome-hwe-{COMMIT}.3", COMMIT, f"gnome-{'0' * 40}", "gnome-"]
    assert GNOME.versions(tags) == ["v1.0.0", "v1.0.0-test"]
    assert GNOME.candidates(tags, COMMIT) == {1: f"gnome-{COMMIT}", 12: f"gnome-{COMMIT}.12"}


def test_a_ledger_entry_is_read_whosoever_it_is():
    for prefix in ("", "gnome-", "a-pipeline-"):
        tag = ledger_tag(prefix, Channel.TESTING, 3, "rollback", DIGEST)
        assert read_ledger_tag(tag) == (prefix, Channel.TESTING, 3, "rollback", DIGEST)
    assert read_ledger_tag("pipeline-ledger-stable") is None


def test_the_longest_names_fit_into_a_tag():
    prefix = "p" * 20
    assert len(ledger_tag(prefix, Channel.TESTING, 999_999_999, "promotion", DIGEST)) == 128


# Which configurations are refused -------------------------------------------------------------------------------------


def toml(**images: str) -> str:
    return "".join(f'[images.{name}]\nrepository = "ghcr.io/o/os"\n{more}\n' for name, more in images.items())


@pytest.mark.parametrize(
    "images",
    [
        {"gnome": 'prefix = "gnome-"', "hwe": 'prefix = "gnome-hwe-"', "plain": ""},
        {"gnome": 'prefix = "gnome-"\naliases = { stable = ["{prefix}"] }', "kde": 'prefix = "kde-"'},
        {"gnome": 'names = { stable = "lts", testing = "lts-testing" }', "hwe": 'prefix = "hwe-"'},
    ],
)
def test_images_whose_tags_tell_them_apart_share_a_repository(images: dict[str, str]):
    assert set(parse(toml(**images)).images) == set(images)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        ({"a": "", "b": ""}, ["share the repository ghcr.io/o/os", 'prefix = "a-"']),
        ({"a": "", "b": 'prefix = "hwe-"', "c": 'names = { next = "hwe-next" }'}, ["share the repository"]),
        ({"a": 'aliases = { stable = ["g-{major}"] }', "b": 'prefix = "g-"\naliases = { stable = ["{major}"] }'},
         ["g-{major}"]),
        ({"a": 'prefix = "os-"\naliases = { stable = ["{prefix}"] }', "b": 'names = { stable = "os" }'}, ["the os of"]),
        ({"a": 'prefix = "1"\naliases = { stable = ["{major}"] }', "b": 'aliases = { stable = ["{major}"] }'},
         ["share the repository"]),
        ({"a": 'names = { stable = "next" }'}, ["one tag could be two things"]),
        ({"a": 'names = { stable = "v1.2.3" }'}, ["one tag could be two things"]),
        ({"a": 'names = { next = "pipeline-pruning" }'}, ["one tag could be two things"]),
        ({"a": 'aliases = { stable = ["sha256-{date}"] }'}, ["one tag could be two things"]),
        ({"a": 'aliases = { stable = ["v{version}"] }'}, ["one tag could be two things"]),
        ({"a": 'aliases = { stable = ["latest"], testing = ["latest"] }'}, ["one tag could be two things"]),
        ({"a": 'aliases = { stable = ["{prefix}"] }'}, ["which has none"]),
        ({"a": 'aliases = { next = ["{major}"] }'}, ["no image has a version yet"]),
        ({"a": 'aliases = { stable = ["{sha}"] }'}, ["{major}", "{date}"]),
        ({"a": 'prefix = "a-prefix-that-is-too-long-"'}, ["prefix", "pattern"]),
    ],
)  # fmt: skip
def test_a_tag_that_could_be_two_things_is_refused(images: dict[str, str], found: list[str]):
    with pytest.raises(UsageError) as error:
        parse(toml(**images))
    assert all(text in str(error.value) for text in found), str(error.value)


# Properties -----------------------------------------------------------------------------------------------------------

prefixes = st.sampled_from(["", "g", "g-", "g-hwe-", "g-v", "k-", "1", "20", "g."])
words = st.sampled_from(["next", "stable", "hwe-next", "g-stable", "44", "gts", "20260720", "hwe-44"])
templates = st.sampled_from(
    ["latest", "{prefix}", "{major}", "{date}", "hwe-{major}", "v{date}", "{version}", "0{date}"]
)
images = st.builds(
    Names,
    prefixes,
    st.dictionaries(st.sampled_from(list(Channel)), words, max_size=2),
    st.dictionaries(st.just(Channel.STABLE), st.lists(templates, max_size=3, unique=True).map(tuple)),
).filter(lambda names: names.ambiguous() is None)
numbers = st.integers(0, 999_999_999)
facts = st.builds(Facts, st.builds(Version, numbers, numbers, numbers), st.sampled_from(["20260720", "19990101"]))


def spelled(names: Names, told: Facts) -> list[Tag]:
    version = told.version or Version(0, 0, 0)
    aliases = [names.alias(template, told) for template in names.aliases.get(Channel.STABLE, ()) if names.bare]
    return [
        *(names.channel(channel) for channel in Channel),
        *(names.version(tag) for tag in (ReleaseTag(version).tag, TestTag(version).tag, TestTag(version, 3).tag)),
        *(names.candidate(COMMIT, number) for number in (1, 2, 14)),
        *(ledger_tag(names.prefix, channel, 1 + version.major % 9, "hold", DIGEST) for channel in Channel),
        *(tag for tag in aliases if tag),
    ]


@settings(max_examples=60, deadline=None)
@given(images, images, facts)
def test_two_images_have_no_tag_in_common_or_are_refused(one: Names, other: Names, told: Facts):
    assert all(one.read(tag) for tag in spelled(one, told))
    assume(common(one, other) is None)
    assert not [tag for tag in spelled(one, told) if other.read(tag)]
    assert not [tag for tag in spelled(other, told) if one.read(tag)]


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("next", "next", True),
        ("{major}", "{date}", True),
        ("{major}", "44.0", False),
        ("{commit}.{number}", "{commit}", False),
        ("1{date}", "{major}", True),
        ("12{date}", "{major}", False),
        ("pipeline-{rest}", "pipeline-pruning", True),
        ("x{rest}", "pipeline-pruning", False),
    ],
)
def test_two_templates_meet_when_a_tag_exists_that_both_could_have_written(one: str, other: str, both: bool):
    assert meet(one, other) == meet(other, one) == both


def test_a_first_candidate_has_no_number_so_a_tag_with_one_is_nobodys() -> None:
    """It would take the place of the candidate itself, which was written once."""
    commit = Commit("a" * 40)
    tags = [f"p-{commit}{end}" for end in ("", ".1", ".01", ".2", ".10")]
    assert Names(prefix="p-").candidates(tags, commit) == {1: tags[0], 2: tags[3], 10: tags[4]}
