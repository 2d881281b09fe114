"""What a plan of retention asks a registry: requests, seconds and memory, the first time and the next.

The registry is in memory, with the habits of a real one, so that the time is our own. Each candidate is a tag on an
index of four platforms; `dated`: the index says when it was created. A tenth of them is signed. `next` is a plan of
another process right after, with what the first one kept.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import respx

from pipeline.policy.retention import Rules
from pipeline.registry.client import RegistryClient
from pipeline.registry.retention import Kept, prune
from pipeline.registry.retention.oci import OciDriver
from rehearsal.tests import conftest

_PLATFORMS = ("amd64", "arm64", "ppc64le", "s390x")
_RULES = Rules(keep_last=10, older_than="30d", max_percent=100, max_deletions=10**9)  # type: ignore[arg-type]


async def measured(tags: Sequence[int], say: Callable[[str], None]) -> None:
    """The table, a line each."""
    registries = conftest("unit/retention")
    registries.NOW = datetime.now(UTC)
    say(f"{'repository':<52} {'manifests':>9} {'requests':>9} {'a tag':>7} {'seconds':>8}")
    for count in tags:
        for dated in False, True:
            for api in False, True:
                with respx.mock(assert_all_called=False) as router:
                    registry = registries.FakeRegistry(router)
                    router.route(host=registry.host).mock(side_effect=registry)
                    registry.referrers_api = api
                    _fill(registries, registry, count, dated=dated)
                    with TemporaryDirectory() as folder:
                        for run in "first", "next":
                            title = f"{count} tags{', dated' if dated else ''}{', referrers API' if api else ''}, {run}"
                            say(await _plan(registry, registries, title, Path(folder)))


def _fill(registries: Any, registry: Any, count: int, *, dated: bool) -> None:
    for number in range(count):
        days = 1 + number % 400
        listed = []
        for name in _PLATFORMS:
            image = registry.image(days=days, text=f"{number} {name}")
            listed.append({**registry.describe(image), "platform": {"os": "linux", "architecture": name}})
        more: dict[str, Any] = {"annotations": {}}
        if dated:
            more["annotations"][registries.CREATED] = (registries.NOW - registries.timedelta(days=days)).isoformat()
        document = {"schemaVersion": 2, "mediaType": registries.media.OCI_INDEX, "manifests": listed}
        index = registry.put({**document, **more}, f"{number:040x}")
        if number % 10 == 0:
            registry.artifact(index, f"sha256-{index.hex}.sig", text=f"signature {number}")


async def _plan(registry: Any, registries: Any, title: str, folder: Path) -> str:
    registry.log.clear()
    began = time.monotonic()
    async with RegistryClient(deadline=60) as client:
        driver, home, now = OciDriver(client.repository(registry.repository)), registry.repository, registries.NOW
        with Kept(folder / "kept.sqlite") as kept:
            await prune(client, home, _RULES, confirm=False, now=now, driver=driver, kept=kept)
    seconds = time.monotonic() - began
    asked = Counter(line.partition("/")[0] for line in registry.log)
    told = ", ".join(f"{number} {what}" for what, number in asked.most_common(4))
    requests = len(registry.log)
    manifests = len(registry.manifests)
    return f"{title:<52} {manifests:>9} {requests:>9} {requests / len(registry.tags):>7.2f} {seconds:>8.1f}  {told}"
