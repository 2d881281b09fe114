"""Platforms as data: which are known, what they are called, and that none is promoted unseen without a word."""

import pytest

from pipeline.config import parse
from pipeline.domain import Channel, Outcome
from pipeline.errors import UsageError
from pipeline.gates.boot import not_booted
from pipeline.policy.gate import verdict
from pipeline.policy.platforms import booted, choice, machine, short_name, unexcused
from pipeline.report.model import Check, CheckStatus

WHY = "no machine to boot it on; tested by hand, https://example.org/9"


def toml(platforms: list[str], more: str = "") -> str:
    return f'[images.os]\nrepository = "ghcr.io/o/os"\nplatforms = {platforms}\n{more}'


@pytest.mark.parametrize(
    ("platform", "called", "short", "options"),
    [
        ("linux/amd64", "x86_64", "x86_64", "--override-os linux --override-arch amd64"),
        ("linux/amd64/v2", "x86_64", "x86_64_v2", "--override-os linux --override-arch amd64 --override-variant v2"),
        ("linux/arm64", "aarch64", "aarch64", "--override-os linux --override-arch arm64"),
        ("linux/arm/v7", "armv7l", "armv7l_v7", "--override-os linux --override-arch arm --override-variant v7"),
        ("linux/s390x", "s390x", "s390x", "--override-os linux --override-arch s390x"),
    ],
)
def test_what_a_platform_is_called_elsewhere(platform: str, called: str, short: str, options: str) -> None:
    assert (machine(platform), short_name(platform), " ".join(choice(platform))) == (called, short, options)


def test_every_platform_that_the_tools_know_is_taken_in_one_spelling() -> None:
    wanted = ["linux/amd64/v1", "linux/amd64/v2", "linux/arm64/v8", "linux/riscv64", "linux/ppc64le", "linux/s390x"]
    excused = ", ".join(f'"{one}" = "{WHY}"' for one in wanted[3:])
    config = parse(toml(wanted, f"[gates.testing]\nunbooted = {{ {excused} }}\n"))
    image = config.images["os"]
    assert image.platforms == ("linux/amd64", "linux/amd64/v2", "linux/arm64", *wanted[3:])
    assert config.booted(image) == ["linux/amd64", "linux/amd64/v2", "linux/arm64"]
    assert config.unbooted(image) == dict.fromkeys(wanted[3:], WHY)


@pytest.mark.parametrize(
    ("platforms", "more", "found"),
    [
        (["linux/sparc"], "", "expected linux/PROCESSOR"),
        (["windows/amd64"], "", "expected linux/PROCESSOR"),
        (["linux/amd64", "linux/amd64/v1"], "", "each platform once"),
        (
            ["linux/amd64", "linux/riscv64"],
            "",
            "os.platforms has linux/riscv64, which the testing gate does not",
        ),
        (["linux/amd64", "linux/arm64"], '[gates.testing]\nplatforms = ["linux/amd64"]', "has linux/arm64, which"),
        (["linux/amd64"], '[gates.testing]\nplatforms = ["linux/amd64", "linux/s390x"]', "the gate cannot boot"),
        (["linux/riscv64"], '[gates.testing]\nunbooted = { "linux/riscv64" = "" }', "at least 1 character"),
    ],
)
def test_a_platform_that_nobody_boots_or_excuses_is_refused(platforms: list[str], more: str, found: str) -> None:
    with pytest.raises(UsageError, match=found):
        parse(toml(platforms, more))


def test_what_is_excused_is_not_booted_although_it_could_be() -> None:
    assert booted(["linux/amd64", "linux/arm64"], None, {"linux/arm64": WHY}) == ["linux/amd64"]
    assert unexcused(["linux/amd64", "linux/arm64"], None, {"linux/arm64": WHY}) == []


def test_the_evidence_says_what_was_not_booted_and_why_and_calls_it_skipped() -> None:
    passed = Check(name="x86_64/boot", status=CheckStatus.PASSED)
    (skipped,) = not_booted({"linux/riscv64": WHY})
    assert (skipped.name, skipped.status) == ("riscv64/boot", CheckStatus.SKIPPED)
    assert WHY in skipped.reason
    assert verdict([passed, skipped])[0] is Outcome.PASSED
    assert verdict([skipped])[0] is not Outcome.PASSED


def test_the_reason_belongs_to_what_the_gate_asks() -> None:
    def asked(why: str) -> str:
        return parse(
            toml(["linux/amd64", "linux/s390x"], f'[gates.testing]\nunbooted = {{ "linux/s390x" = "{why}" }}')
        ).gate_version(Channel.TESTING)

    assert asked("no machine") != asked("another reason")
