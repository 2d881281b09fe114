"""Carries out a plan: looks before each deletion, stops at the first surprise, and checks every root afterwards."""

import anyio

from pipeline.domain import Digest, Outcome
from pipeline.errors import ConflictError, PipelineError
from pipeline.policy.retention import Deletion, Graph, RetentionPlan, Rules
from pipeline.registry.client import RepositoryClient
from pipeline.registry.retention.driver import Done, Driver
from pipeline.registry.retention.record import RecordKeeper
from pipeline.registry.retention.report import Deleted, PruneReport, Skipped
from pipeline.registry.retention.restore import RestoreList, Untagged, store_list
from pipeline.registry.retention.watch import Watch
from pipeline.registry.retention.waves import each


async def carry_out(
    repository: RepositoryClient,
    driver: Driver,
    graph: Graph,
    rules: Rules,
    plan: RetentionPlan,
    record: RecordKeeper,
    report: PruneReport,
) -> None:
    """Note in a restore list what goes, delete and untag as planned; `report` tells what became of each step.

    An error ends it: the report then holds what was done, and its outcome and reason say why it ended. The next run
    finishes.
    """
    watch = Watch(repository, graph, rules, (deletion.digest for deletion in plan.deletions))
    waiting = [deletion.digest for deletion in plan.deletions]
    try:
        await record.open(waiting)
        try:
            noted = await _noted(repository, plan, waiting, report)
            report.restore_list = await store_list(repository, noted)
            await _untag(driver, plan, watch, report)
            await _delete(driver, graph, noted, record, watch, waiting, report)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(60):
                await record.close(waiting if report.deleted or report.unclear else ())
    except PipelineError as error:
        started = bool(report.deleted or report.untagged)
        report.outcome = Outcome.PARTIAL if started and not isinstance(error, ConflictError) else error.outcome
        report.reason = f"stopped after {len(report.deleted)} of {len(plan.deletions)} deletions: {error}"
    await _verify(repository, graph, plan, watch, report)


async def _untag(driver: Driver, plan: RetentionPlan, watch: Watch, report: PruneReport) -> None:
    for untag in plan.untags:
        await watch.before_untag(untag.tag, untag.digest)
        result = await driver.untag(untag.tag, untag.digest)
        if result.done is Done.SKIPPED:
            report.skipped.append(Skipped(digest=untag.digest, tags=(untag.tag,), reason=result.note))
        else:
            report.untagged.append(untag)
            watch.untagged(untag.tag)


async def _noted(
    repository: RepositoryClient, plan: RetentionPlan, waiting: list[Digest], report: PruneReport
) -> RestoreList:
    """Read everything that goes; what is gone already drops out of `waiting`."""
    noted: dict[Digest, Deleted] = {}

    async def read(one: Deletion) -> None:
        found = await repository.raw_manifest(one.digest)
        if found is None:
            waiting.remove(one.digest)
            return
        noted[one.digest] = Deleted(
            digest=one.digest, media_type=one.media_type, tags=one.tags, manifest=found.raw.decode(), note=one.reason
        )

    await each(plan.deletions, read)
    return RestoreList(
        repository=report.repository,
        at=report.at,
        manifests=tuple(noted[one.digest] for one in plan.deletions if one.digest in noted),
        untagged=tuple(Untagged(tag=one.tag, digest=one.digest) for one in plan.untags),
    )


async def _delete(
    driver: Driver,
    graph: Graph,
    noted: RestoreList,
    record: RecordKeeper,
    watch: Watch,
    waiting: list[Digest],
    report: PruneReport,
) -> None:
    needed: dict[Digest, Digest] = {}
    for one in noted.manifests:
        digest = one.digest
        if holder := needed.get(digest):
            report.skipped.append(Skipped(digest=digest, tags=one.tags, reason=f"{holder} stays and needs it"))
            waiting.remove(digest)
            continue
        await record.renew(waiting)
        await record.check()
        await watch.before_delete(digest)
        report.unclear = [digest]
        result = await driver.delete(digest, one.tags)
        report.unclear = []
        waiting.remove(digest)
        if result.done is Done.SKIPPED:
            report.skipped.append(Skipped(digest=digest, tags=one.tags, reason=result.note))
            needed |= dict.fromkeys(graph.reached([digest], graph.needed), digest)
            continue
        watch.deleted(digest)
        report.deleted.append(one.model_copy(update={"note": result.note}))


async def _verify(
    repository: RepositoryClient, graph: Graph, plan: RetentionPlan, watch: Watch, report: PruneReport
) -> None:
    """Fetch again by digest whatever a kept tag needs; push back what is missing, should that ever happen."""
    if not report.deleted and not report.untagged:
        return
    tags = {tag: digest for tag, digest in watch.tags.items() if digest in plan.kept}
    released = [digest for history in graph.stable_histories for digest in history]
    needs = graph.reached([*tags.values(), *released], graph.needed)
    lost: set[Digest] = set()

    async def fetch(digest: Digest) -> None:
        if digest in plan.kept:
            if await repository.raw_manifest(digest) is None:
                lost.add(digest)
            else:
                report.verified += 1

    try:
        await each(needs, fetch)
        listed = set(await repository.tags())
    except PipelineError as error:
        report.outcome = error.outcome
        report.reason = f"{report.reason or 'all deleted as planned'}, but what is kept could not be verified: {error}"
        return
    missing: list[str] = [*sorted(lost), *sorted(tag for tag in tags if tag not in listed)]
    if missing:
        report.outcome, report.lost = Outcome.CONFLICT, missing
        report.reason = f"kept tags or what they need are missing: {', '.join(missing)}. Push them again"
