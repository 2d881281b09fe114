"""Release notes as Markdown: nothing in them claims more than was found, and what came from outside is no markup."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.domain import Channel, Commit, Digest, Outcome, Tag
from pipeline.report.model import Check, CheckStatus
from pipeline.report.notes import LONGEST, Built, Disk, Found, Notes, links_in, notes_text

AT = datetime(2026, 11, 26, 15, 30, tzinfo=UTC)
INDEX, AMD, ARM, DISK = (Digest(f"sha256:{digit * 64}") for digit in "abcd")
JOB = "https://openqa.example.org/tests/37"
PASSED = [
    Found(gate, Outcome.PASSED, "All is well.", AT, [Check(name="all", status=CheckStatus.PASSED)]) for gate in Channel
]
NOTES = Notes(
    image="gnome",
    repository="registry.test/os",
    tag=Tag("v1.4.0"),
    names=[Tag("gnome-v1.4.0"), Tag("gnome-gts")],
    commit=Commit("1" * 40),
    digest=INDEX,
    at=AT,
    before=Tag("v1.3.0"),
    commits=["2222222 Newer kernel", "3333333 Older one"],
    count=2,
    compared="SBOM",
    packages=["+ zstd 1.5", "- gzip 1.0", "~ kernel 6.1 -> 6.2", "~ systemd 258 -> 259"],
    platforms=[Built("linux/amd64", AMD, 900 << 20, 888 << 20), Built("linux/arm64", ARM, 800 << 20, None)],
    disks=[Disk("linux/amd64", 2 << 30, DISK)],
    gates=[*PASSED[:2], replace(PASSED[2], links=[JOB])],
)
SIGNED = replace(
    NOTES,
    signer="keys/stable.pub of the source repository",
    options=("--insecure-ignore-tlog=true", "--key", "keys/stable.pub"),
)


def test_what_is_new_what_it_is_and_what_was_found() -> None:
    text = notes_text([NOTES])
    for part in (
        "# v1.4.0\n\nReleased on 2026-11-26 from commit 1111",
        "## 2 commits since v1.3.0\n\n- 2222222 Newer kernel\n- 3333333 Older one\n",
        "`registry.test/os:gnome-v1.4.0` is this image and never moves; `registry.test/os:gnome-gts` follows releases.",
        f"podman pull registry.test/os@{INDEX}\nsudo bootc switch registry.test/os@{INDEX}\n",
        f"| all (index) | {INDEX} |  |\n| linux/amd64 | {AMD} | 900 MiB (+12 MiB) |\n| linux/arm64 | {ARM} | 800 MiB |",
        f"| linux/amd64 | {DISK.hex} | 2.0 GiB |",
        "### Packages since v1.3.0, by SBOM: 1 added, 1 removed, 2 in another version\n\n```diff\n"
        "+ zstd 1.5\n- gzip 1.0\n",
        f"- **stable**: passed on 2026-11-26 15:30 UTC, 1 passed. All is well (openQA: [37](<{JOB}>))",
    ):
        assert part in text
    assert "cosign" not in text


def test_an_image_of_one_platform_is_no_index() -> None:
    text = notes_text([replace(NOTES, platforms=[Built("linux/amd64", INDEX, 100, 100)])])
    assert "index" not in text
    assert f"| linux/amd64 | {INDEX} | 100 B (+0 B) |" in text


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"before": None, "commits": [], "count": None}, "## The first release"),
        ({"commits": [], "count": None}, "The history at hand does not go back to v1.3.0."),
        ({"count": 52}, "- … and 50 more: `git log v1.3.0..v1.4.0`"),
        ({"commits": ["2222222 Newer kernel"], "count": 1}, "## 1 commit since v1.3.0"),
        ({"packages": None}, "One of the two images has no package list, so nothing was compared."),
        ({"packages": []}, "The same in the same versions, by SBOM."),
        (
            {"withdrawn": "stable left it on 2026-12-01: CVE-2027-0001"},
            "> **Taken back.** stable left it on 2026-12-01",
        ),
        ({"platforms": [Built("linux/amd64", AMD, None, 3)]}, f"| linux/amd64 | {AMD} | ? |"),
        ({"platforms": [Built("linux/amd64", AMD, 1024, 2048)]}, "| 1.0 KiB (-1.0 KiB) |"),
        ({"gates": [Found(Channel.STABLE, None)]}, "- **stable**: no evidence"),
        ({"gates": [replace(PASSED[1], outcome=Outcome.GATE_FAILED)]}, "- **testing**: gate failed on "),
    ],
)
def test_what_is_not_known_is_said(told: dict[str, object], said: str) -> None:
    assert said in notes_text([replace(NOTES, **told)])  # type: ignore[arg-type]


def test_what_did_not_plainly_pass_is_named() -> None:
    waived = Check(name="units", status=CheckStatus.WAIVED, reason="nvidia.service failed. See the bug.")
    advice = Check(name="age", status=CheckStatus.FAILED, required=False, reason="old")
    text = notes_text([replace(NOTES, gates=[replace(PASSED[1], checks=[waived, advice])])])
    assert "1 waived, 1 advice" in text
    assert "  - units: waived. nvidia.service failed" in text
    assert "  - age: advice. old" in text


def test_what_came_from_outside_is_no_markup() -> None:
    evil = "`<script>` [here](https://evil.test) | **x**"
    found = Found(Channel.STABLE, Outcome.PASSED, evil, AT, (), ["javascript:alert(1)", "https://evil.test/> ![x](y)"])
    text = notes_text([replace(NOTES, commits=[evil], gates=[found], packages=["+ a\n```\n# b 1"], withdrawn=evil)])
    assert "<script>" not in text
    assert "[here](" not in text.replace("\\[here\\](", "")
    assert "javascript" not in text
    assert "![x]" not in text
    assert "````diff\n+ a ``` # b 1\n````" in text


def test_how_to_check_it_is_told_only_where_it_is_signed() -> None:
    text = notes_text([SIGNED, replace(NOTES, image="kde")])
    assert "is signed by keys/stable.pub of the source repository. With cosign 2.5 or later:" in text
    assert text.count("cosign verify-attestation") == 1
    assert (
        "cosign verify-attestation --new-bundle-format --insecure-ignore-tlog=true --key keys/stable.pub \\\n"
        f"    --type https://slsa.dev/verification_summary/v1 --policy stable.cue registry.test/os@{INDEX}"
    ) in text


def test_cosign_is_told_what_the_papers_say() -> None:
    """Which a contract test proves with the real one."""
    papers = (Path(__file__).parents[3] / "docs" / "trust.md").read_text()
    command = notes_text([SIGNED]).partition("cosign verify-attestation")[2].partition("registry.test")[0]
    assert f"cosign verify-attestation{command}ghcr.io/" in papers


def test_images_with_the_same_release_before_share_its_commits() -> None:
    text = notes_text([NOTES, replace(NOTES, image="new", before=None, packages=None), replace(NOTES, image="kde")])
    assert text.count("Newer kernel") == 1
    assert "## 2 commits since v1.3.0 (gnome, kde)" in text
    assert "## The first release (new)" in text
    assert [text.count(f"\n## {name}\n") for name in ("gnome", "new", "kde")] == [1, 1, 1]


def test_it_is_never_longer_than_github_takes() -> None:
    many = [f"~ package-with-a-name-{number} 1.0-1.fc44 -> 1.0-2.fc44" for number in range(5000)]
    (one, fleet) = (notes_text([replace(NOTES, packages=many)] * count) for count in (1, 40))
    assert len(one) <= LONGEST
    assert len(fleet) <= LONGEST
    assert "… and 4000 more" in one
    assert "5000 in another version" in fleet


def test_openqa_jobs_of_every_platform_and_flavor() -> None:
    inputs = {"x86_64/boot/openqa jobs": f"{JOB} {JOB}1", "openqa jobs": "u", "openqa badges": "no", "disk": "no"}
    assert links_in(inputs.items()) == [JOB, f"{JOB}1", "u"]
