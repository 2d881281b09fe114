"""Carries out a plan: looks before each deletion, stops at the first surprise, and checks every root afterwards."""

from collections.abc import Iterable
from functools import partial

import anyio

from pipeline.domain import Digest, Outcome, Tag
from pipeline.errors import ConflictError, PipelineError
from pipeline.policy.retention import Graph, RetentionPlan, Rules
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Manifest
from pipeline.registry.retention.driver import Done, Driver
from pipeline.registry.retention.record import RecordKeeper
from pipeline.registry.retention.report import Deleted, PruneReport, Skipped
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
    """Delete and untag as planned, and write into `report` what became of each step.

    An error ends it: the report then holds what was done, and its outcome and reason say why it ended. The next run
    finishes.
    """
    watch = Watch(repository, graph, rules, (deletion.digest for deletion in plan.deletions))
    waiting = [deletion.digest for deletion in plan.deletions]
    try:
        await record.open(waiting)
        try:
            await _untag(driver, plan, watch, report)
            await _delete(repository, driver, graph, plan, record, watch, waiting, report)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(60):
                await record.close(waiting if report.deleted else ())
    except PipelineError as error:
        started = bool(report.deleted or report.untagged)
        report.outcome = Outcome.PARTIAL if started and not isinstance(error, ConflictError) else error.outcome
        report.reason = f"stopped after {len(report.deleted)} of {len(plan.deletions)} deletions: {error}"
    await _verify(repository, graph, plan, watch, report)


async def restore(repository: RepositoryClient, deleted: Iterable[Deleted]) -> list[Digest]:
    """Push manifests from a restore list again, with their tags; what a registry has collected meanwhile fails.

    Raises InfrastructureError for a manifest whose blobs are gone.
    """
    back = []
    for one in reversed(list(deleted)):
        manifest = Manifest(one.digest, one.media_type, one.manifest.encode())
        refs: list[Digest | Tag] = [one.digest, *one.tags]
        for ref in refs:
            await repository.persist(f"restore {ref}", partial(repository.put_manifest, manifest, ref))
        back.append(one.digest)
    return back


async def _untag(driver: Driver, plan: RetentionPlan, watch: Watch, report: PruneReport) -> None:
    for untag in plan.untags:
        await watch.before_untag(untag.tag, untag.digest)
        result = await driver.untag(untag.tag, untag.digest)
        if result.done is Done.SKIPPED:
            report.skipped.append(Skipped(digest=untag.digest, tags=(untag.tag,), reason=result.note))
        else:
            report.untagged.append(untag)
            watch.untagged(untag.tag)


async def _delete(
    repository: RepositoryClient,
    driver: Driver,
    graph: Graph,
    plan: RetentionPlan,
    record: RecordKeeper,
    watch: Watch,
    waiting: list[Digest],
    report: PruneReport,
) -> None:
    needed: dict[Digest, Digest] = {}
    for deletion in plan.deletions:
        digest = deletion.digest
        if holder := needed.get(digest):
            report.skipped.append(Skipped(digest=digest, tags=deletion.tags, reason=f"{holder} stays and needs it"))
            waiting.remove(digest)
            continue
        await record.renew(waiting)
        await record.check()
        await watch.before_delete(digest)
        manifest = await repository.raw_manifest(digest)
        if manifest is None:
            waiting.remove(digest)
            continue
        result = await driver.delete(digest, deletion.tags)
        waiting.remove(digest)
        if result.done is Done.SKIPPED:
            report.skipped.append(Skipped(digest=digest, tags=deletion.tags, reason=result.note))
            needed |= dict.fromkeys(graph.reached([digest], graph.needed), digest)
            continue
        watch.deleted(digest)
        report.deleted.append(
            Deleted(
                digest=digest,
                media_type=deletion.media_type,
                tags=deletion.tags,
                manifest=manifest.raw.decode(errors="replace"),
                note=result.note,
            )
        )


async def _verify(
    repository: RepositoryClient, graph: Graph, plan: RetentionPlan, watch: Watch, report: PruneReport
) -> None:
    """Fetch again by digest whatever a kept tag needs; push back what is missing, should that ever happen."""
    if not report.deleted and not report.untagged:
        return
    tags = {tag: digest for tag, digest in watch.tags.items() if digest in plan.kept}
    needs = graph.reached([*tags.values(), *graph.stable_history], graph.needed)
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
