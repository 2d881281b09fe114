"""Many images in one configuration: what they share, in which order, how many at once."""

import time

import pytest

from pipeline.config import parse
from pipeline.errors import UsageError
from pipeline.policy.fleet import fitting, waves, with_defaults


def test_an_image_has_what_all_share_and_its_own_wins():
    shared = {"repository": "r.test/{name}", "build": {"target": "{name}", "args": {"A": "1"}}, "platforms": ["x"]}
    own = {"platforms": ["y"], "build": {"target": "other"}}
    assert with_defaults(own, shared, "gnome") == {
        "repository": "r.test/gnome",
        "build": {"target": "other", "args": {"A": "1"}},
        "platforms": ["y"],
    }
    assert with_defaults({}, {"secrets": ["{name}", 1], "commit": "{commit}"}, "a") == {
        "secrets": ["a", 1],
        "commit": "{commit}",
    }


def test_images_come_after_what_they_need():
    needs = {"desktop": ["base"], "nvidia": ["desktop", "base"], "base": [], "server": []}
    assert waves(needs) == [["base", "server"], ["desktop"], ["nvidia"]]
    with pytest.raises(ValueError, match=r"needs .*none of them could be built first"):
        waves({"a": ["b"], "b": ["c"], "c": ["a"]})


@pytest.mark.parametrize(
    ("jobs", "demands", "at_once"),
    [
        (1, [(64e9, 2e9)], 1),
        (8, [(9e9, 2e9), (16, 2)], 4),
        (8, [(64e9, 2e9), (6, 2)], 3),
        (8, [(1e9, 2e9)], 1),
        (3, [], 3),
    ],
)
def test_no_more_at_once_than_the_machine_has_room_for(jobs: int, demands: list[tuple[float, float]], at_once: int):
    assert fitting(jobs, demands) == at_once


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[defaults]\nrepostory = "r.test/os"\n[images.a]\nrepository = "r.test/os"', "did you mean repository?"),
        ('[defaults]\nname = "x"\n[images.a]\nrepository = "r.test/os"', "name is no key of an image"),
        ('[images.a]\nrepository = "r.test/a"\nneeds = ["b"]', "a needs b, which is no image of this file"),
        ('[defaults]\nrepository = "r.test/{name}"\nneeds = ["a"]\n[images.a]\n[images.b]', "could be built first"),
    ],
)
def test_what_does_not_fit_together_is_refused(text: str, found: str):
    with pytest.raises(UsageError, match=found):
        parse(text)


def test_a_wrong_value_that_all_share_is_said_once():
    images = "".join(f"[images.i{number}]\n" for number in range(20))
    with pytest.raises(UsageError) as error:
        parse(f'[defaults]\nrepository = "r.test/{{name}}"\nplatforms = ["linux/sparc"]\n{images}')
    assert str(error.value).startswith("pipeline.toml: defaults.platforms.0: found 'linux/sparc'")
    assert len(str(error.value).splitlines()) == 1


def fleet(bases: int, desktops: tuple[str, ...]) -> str:
    """As tunaOS has it: some bases, each in a repository of its own, and their flavours by prefix."""
    tables = []
    for base in range(bases):
        place = f'repository = "ghcr.io/tuna-os/base{base}"\n'
        tables.append(f"[images.base{base}]\n{place}")
        for desktop in desktops:
            lines = f'prefix = "{desktop}-"\nneeds = ["base{base}"]\nbuild.target = "{desktop}"\n'
            tables.append(f"[images.base{base}-{desktop}]\n{place}{lines}")
    head = '[defaults]\naliases = { stable = ["latest", "{major}", "stable-{date}"] }\n'
    return head + 'platforms = ["linux/amd64", "linux/arm64"]\n' + "".join(tables)


def test_142_images_are_read_at_once():
    desktops = (
        "gnome",
        "gnome-hwe",
        "gnome-nvidia",
        "kde",
        "kde-hwe",
        "kde-nvidia",
        "niri",
        "cosmic",
        "xfce",
        "server",
    )
    text = fleet(13, desktops)
    start = time.process_time()
    config = parse(text)
    took = time.process_time() - start
    assert len(config.images) == 143
    assert [len(wave) for wave in config.in_order(config.selected([]))] == [13, 130]
    assert took < 2.0, f"{took:.2f} s"
    assert len(text.splitlines()) < 800


def test_142_images_of_one_repository_are_read_at_once():
    text = (
        '[defaults]\nrepository = "ghcr.io/o/os"\nprefix = "{name}-"\naliases = { stable = ["{prefix}", "{major}"] }\n'
    )
    text += "".join(f"[images.f{number}]\n" for number in range(142))
    start = time.process_time()
    assert len(parse(text).images) == 142
    assert time.process_time() - start < 2.0
