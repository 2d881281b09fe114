"""`python -m pipeline.upload.prune`: deletes the disks of images that are gone, from inside a tool container.

Reads a JSON file with `image` (its name in keys), `kept` (digests that stay in the repository), `gone` (those that were
there), `rules` (`[retention]`) and `now`; prints one line of JSON with what goes, was deleted and stays. Exit codes as
for uploads.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import anyio

from pipeline.domain import Outcome
from pipeline.errors import InfrastructureError, PipelineError
from pipeline.policy.retention.disks import StoredDisk, plan_disks
from pipeline.program import ended
from pipeline.upload.__main__ import open_store, read_auth
from pipeline.upload.order import DiskReport, Order
from pipeline.upload.store import Passing


class Shelf(Protocol):
    """A place whose objects can be listed and deleted."""

    async def disks(self) -> list[StoredDisk]:
        """All objects of the folder, or Passing: never a part."""

    async def delete(self, key: str) -> None:
        """Delete one; no error when it is gone."""


async def prune_disks(shelf: Shelf, order: Order, *, confirm: bool) -> DiskReport:
    """Plan, and with `confirm` delete. InfrastructureError when the list cannot be read: nothing is deleted then.

    Without a single kept digest nothing goes: a repository without images is more likely a mistake.
    """
    try:
        made = plan_disks(order.image, await shelf.disks(), order.kept, order.rules, order.now, gone=order.gone)
    except Passing as error:
        raise InfrastructureError(f"the uploaded disks cannot be listed: {error}. Nothing is deleted.") from error
    report = DiskReport(
        outcome=Outcome.PASSED,
        reason="this is the plan; --confirm carries it out",
        goes=[disk.key for disk in made.goes],
        stays=dict(made.kept),
        freed=sum(disk.size for disk in made.goes),
    )
    if not made.goes:
        report.outcome, report.reason = Outcome.UNCHANGED, "there is nothing to delete"
    elif made.refused or not order.kept:
        report.outcome = Outcome.PRECONDITION
        report.reason = f"{made.refused or 'no image at all is kept'}. Nothing is deleted; look at the plan first"
    elif confirm:
        await _delete(shelf, report)
    return report


async def _delete(shelf: Shelf, report: DiskReport) -> None:
    for key in report.goes:
        try:
            await shelf.delete(key)
        except (Passing, PipelineError) as error:
            report.outcome = Outcome.PARTIAL if report.deleted else Outcome.INFRA
            report.reason = (
                f"stopped after {len(report.deleted)} of {len(report.goes)} disks: {error}. Run again to go on"
            )
            return
        report.deleted.append(key)
    report.reason = "everything was deleted as planned"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.upload.prune", description=__doc__)
    parser.add_argument("--url", required=True, help="s3://BUCKET/PREFIX, or an http(s) WebDAV folder")
    parser.add_argument("--endpoint", help="the S3 server, when it is not Amazon's")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--auth-file", type=Path, help="holds KEY:SECRET, or USER:PASSWORD")
    parser.add_argument("--order", required=True, type=Path, help="the JSON file")
    parser.add_argument("--confirm", action="store_true", help="delete; without it, the plan")
    given = parser.parse_args(arguments)
    outcome = Outcome.PASSED

    def pruned() -> str:
        nonlocal outcome
        store = open_store(given.url, given.endpoint, given.region, read_auth(given.auth_file))
        order = Order.model_validate_json(given.order.read_text())
        report = anyio.run(partial(prune_disks, store, order, confirm=given.confirm))
        outcome = report.outcome
        return report.model_dump_json()

    return ended(pruned) or outcome.exit_code


if __name__ == "__main__":
    sys.exit(main())
