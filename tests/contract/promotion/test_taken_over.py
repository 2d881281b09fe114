"""An image moves to another registry with all that belongs to it, by the real skopeo."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from lab_image import push
from scaffold import Bench, configured
from test_other_repository import PLATFORM, lab, released

from pipeline.domain import Channel, Outcome
from pipeline.registry.disk import fetch_disk
from pipeline.registry.evidence import find_evidence


@pytest.fixture(params=["registry to crane_registry", "crane_registry to registry"])
def places(request: pytest.FixtureRequest) -> list[str]:
    """Of another kind each: one has the referrers API, the other has not."""
    return [request.getfixturevalue(name) for name in request.param.split(" to ")]


async def test_what_was_released_can_be_rolled_back_from_there(places: list[str], copy: Any, tmp_path: Path) -> None:
    old = lab(places[0], copy, tmp_path / "disk", apart=False)
    first = await released(old, "v1.0.0", tmp_path / "disk")
    disk = (tmp_path / "disk").read_bytes()
    await released(old, "v1.1.0", tmp_path / "disk")
    new = Bench(configured(f"test/{uuid4().hex}", host=places[1], plain=True, stable_host=places[0]), copy, push)
    new.git = old.git
    (source,), (image,) = old.images, new.images
    (told,) = await new.import_from(str(source.repository))
    assert told.outcome == Outcome.PASSED, told.reason
    async with new.world() as world:
        here = world.repository(image)
        assert set(await here.tags()) >= {"next", "testing", "stable", "v1.0.0", "v1.0.0-test", "v1.1.0"}
        (proof,) = await find_evidence(here, first, Channel.TESTING)
        await fetch_disk(here, proof.evidence.disks[PLATFORM], tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == disk
    (back,) = await new.rollback(Channel.STABLE)
    assert (back.outcome, back.digest) == (Outcome.PASSED, first), back.reason
