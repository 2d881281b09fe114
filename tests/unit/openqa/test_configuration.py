"""What pipeline.toml may say about openQA."""

import pytest

from pipeline.config import OpenQA, parse
from pipeline.errors import UsageError
from pipeline.openqa.submission import PLACEHOLDERS

FIRST_RUN = '[images.os]\nrepository = "registry.example.org/os"\n[gates.stable]\n'


def read(keys: str) -> OpenQA:
    openqa = parse(f'{FIRST_RUN}openqa = {{ url = "https://openqa.example.org", {keys} }}\n').gates.stable.openqa
    assert openqa is not None
    return openqa


def test_everything_that_openqa_takes_may_be_set() -> None:
    settings = read(
        'settings = { _GROUP_ID = "7", _PRIORITY = "30", "+QEMURAM" = "4096", HDD_2 = "data.qcow2" }'
    ).settings
    assert settings == {"_GROUP_ID": "7", "_PRIORITY": "30", "+QEMURAM": "4096", "HDD_2": "data.qcow2"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ('settings = { BUILD = "1" }', "BUILD is set by the pipeline"),
        ('settings = { "+HDD_1" = "1" }', "HDD_1 is set by the pipeline"),
        ('asset = "ISO", settings = { ISO_URL = "1" }', "ISO_URL is set by the pipeline"),
        ('settings = { _SECRET_X = "1" }', "secret"),
        ('settings = { ram = "1" }', "upper case"),
        ('settings = { RAM = "{ram}" }', "there is no {ram}"),
        ('version = "{release}"', "there is no {release}"),
        ('asset = "DISK"', "asset"),
        ("flavor = []", "flavor"),
        ("jobs = { boot = { optional = true } }", "required, accept_softfailed"),
        ('poll = "0s"', "poll"),
        ('assets = { HDD_1 = "x.qcow2" }', "HDD_1, which names the disk"),
        ('assets = { DATA = "x" }', "assets"),
        ('assets = { ASSET_1 = "../x" }', "inside the repository"),
        ('assets = { ASSET_1 = "x" }, settings = { ASSET_1_URL = "1" }', "ASSET_1_URL is set by the pipeline"),
        ('bug_references = ["bsc#12"]', "bug_references"),
    ],
)
def test_a_mistake_is_found_when_the_file_is_read(keys: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        read(keys)
    assert words in str(error.value)


def test_what_is_set_when_the_disk_is_another_asset_is_free() -> None:
    assert read('asset = "ISO", settings = { HDD_1 = "empty.qcow2" }').settings == {"HDD_1": "empty.qcow2"}


def test_every_placeholder_may_stand_in_a_setting() -> None:
    text = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    assert read(f'settings = {{ X = "{text}" }}').settings == {"X": text}


def test_flavors_are_one_or_several() -> None:
    assert read('flavor = "server"').flavors == ("server",)
    assert read('flavor = ["server", "desktop"]').flavors == ("server", "desktop")


def test_a_scenario_may_be_advisory() -> None:
    jobs = read('jobs = { "install@uefi" = { required = false }, boot = { accept_softfailed = true } }').jobs
    assert [(job.required, job.accept_softfailed) for job in jobs.values()] == [(False, None), (True, True)]
