"""`prune` over several repositories: what was done in one is told whatever happens in the next."""

from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.commands import prune as command
from pipeline.config import parse
from pipeline.containers import disk_store
from pipeline.containers.execution import Ran
from pipeline.domain import Digest, Outcome
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.policy.retention import Rules
from pipeline.registry.retention import DriverKind, PruneReport
from pipeline.registry.retention.report import Deleted
from pipeline.upload.order import DiskReport, Order

GONE = Digest("sha256:" + "b" * 64)
CONFIG = '[images.os]\nrepository = "registry.test/os"\nstable_repository = "registry.test/released"\n'


@pytest.fixture
def world(client: Any) -> Any:
    config = parse(CONFIG)
    return SimpleNamespace(
        config=config,
        images=list(config.selected([])),
        registry=client,
        given=SimpleNamespace(upload_auth=None),
        remembered=lambda _: nullcontext(),
    )


async def test_an_error_in_the_second_repository_hides_nothing_of_the_first(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pruned(client: Any, home: Any, rules: Any, *, now: datetime, **_: Any) -> PruneReport:
        if home.path == "released":
            raise InfrastructureError("the list of tags was cut.")
        deleted = [Deleted(digest=GONE, media_type="m", tags=(), manifest="{}")]
        return PruneReport(
            repository=str(home),
            driver="oci",
            at=now,
            confirmed=True,
            deleted=deleted,
            restore_list="pipeline-pruned-0123456789ab",
        )

    monkeypatch.setattr(command, "prune_repository", pruned)
    (report,) = await command.prune(world, confirm=True, driver=DriverKind.OCI, token=None)
    assert [one.outcome for one in report.repositories] == [Outcome.PASSED, Outcome.INFRA]
    assert report.exit_code == Outcome.INFRA.exit_code
    assert "pipeline-pruned-0123456789ab" in report.text()
    assert "the list of tags was cut" in report.text()


async def test_why_an_image_stays_is_asked_afresh(world: Any, registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.config = parse(CONFIG.partition("stable_repository")[0] + "[retention]\nkeep_last = 1\n")
    world.images = list(world.config.selected([]))
    world.remembered = lambda _: pytest.fail("looked at what an earlier plan remembers")
    image = registry.image(f"{1:040x}", days=90)
    registry.image(f"{2:040x}", days=60)
    registry.put({"mediaType": "application/x-unknown", "subject": registry.describe(image)})
    assert "not understood" in await command.why_kept(world, image, driver=DriverKind.OCI, token=None)


async def test_restore_without_a_tag_tells_which_lists_there_are(world: Any, registry: Any) -> None:
    world.images = list(parse(CONFIG.partition("stable_repository")[0]).selected([]))
    assert "No prune" in await command.restore(world)
    with pytest.raises(PreconditionError, match="no restore list"):
        await command.restore(world, "pipeline-pruned-0123456789ab")


@pytest.mark.parametrize("outcome", [Outcome.PARTIAL, Outcome.PRECONDITION, Outcome.INFRA])
async def test_a_report_about_disks_is_told_whatever_its_outcome(
    monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    report = DiskReport(outcome=outcome, reason="stopped", goes=["a", "b"], deleted=["a"], stays={}, freed=2)

    async def attempted(container: Any, command: list[str]) -> Ran:
        return Ran(container, outcome.exit_code, report.model_dump_json(), "")

    monkeypatch.setattr(disk_store, "attempt", attempted)
    monkeypatch.setattr(disk_store, "_carrier", lambda *_: SimpleNamespace(with_new_file=lambda *_: None))
    order = Order(image="os", kept=(), rules=Rules(), now=datetime.now(UTC))
    target: Any = SimpleNamespace(url="s3://x/y", endpoint=None)
    reach: Any = None
    assert await disk_store.prune_uploads(reach, target, None, order, confirm=True) == report
