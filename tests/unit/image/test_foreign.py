"""Whether programs for a platform run here is found out by running one."""

import platform

import pytest

from pipeline.image.foreign import known, looks_foreign, program, runs

HERE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}


def test_a_program_for_this_machine_runs():
    assert runs(HERE[platform.machine()])


@pytest.mark.parametrize("wanted", HERE.values())
def test_a_program_is_for_the_machine_it_says(wanted):
    there = {62: "linux/amd64", 183: "linux/arm64"}
    assert there[int.from_bytes(program(wanted)[18:20], "little")] == wanted


def test_a_variant_is_asked_by_the_common_program_and_others_not_at_all():
    assert program("linux/amd64/v3") == program("linux/amd64")
    assert [known(one) for one in ("linux/arm64", "linux/amd64/v2", "linux/s390x")] == [True, True, False]


@pytest.mark.parametrize(
    ("said", "foreign"),
    [
        ("exec /bin/sh: exec format error", True),
        ("Error: exec container process `/bin/sh`: Exec format error", True),
        ("sh: 1: bootc: not found", False),
    ],
)
def test_the_words_of_the_container_runtime(said, foreign):
    assert looks_foreign(said) is foreign
