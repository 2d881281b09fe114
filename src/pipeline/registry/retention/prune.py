"""Prune, from the listing to the report."""

from datetime import UTC, datetime, timedelta

import anyio

from pipeline.domain import Digest, Outcome, Repository
from pipeline.errors import PreconditionError
from pipeline.policy.retention import Rules, plan
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.retention.apply import carry_out
from pipeline.registry.retention.driver import Driver
from pipeline.registry.retention.kept import Kept
from pipeline.registry.retention.listing import read
from pipeline.registry.retention.record import RecordKeeper, find_record
from pipeline.registry.retention.report import PruneReport

_SKEW = timedelta(minutes=5)


async def prune(
    client: RegistryClient,
    repository: Repository,
    rules: Rules,
    *,
    confirm: bool,
    now: datetime,
    driver: Driver,
    kept: Kept | None = None,
) -> PruneReport:
    """Plan what may be deleted from `repository`; with `confirm`, ask again and delete it. `kept`: what earlier
    plans have read.

    Returns a report also when it stopped half-way: its outcome says how it ended, and the next run finishes. Raises
    InfrastructureError, PreconditionError or ConflictError while nothing has been deleted: the listing failed, the
    clocks differ, another prune is running.
    """
    repo = client.repository(repository)
    before, began = client.requests, anyio.current_time()

    def keeper() -> RecordKeeper:
        passed = timedelta(seconds=anyio.current_time() - began)
        return RecordKeeper(repo, driver, now + passed)  # a listing can take longer than a record lasts

    await _same_time(repo, now)
    record = await find_record(repo)
    leftovers = record.digests if record else ()
    listing = await read(repo, driver, rules, now, leftovers=leftovers, whole=confirm, kept=kept)
    made = plan(listing.graph, rules, now, can_untag=driver.can_untag)
    report = PruneReport(
        repository=str(repository),
        driver=driver.name,
        at=now.astimezone(UTC),
        confirmed=confirm,
        warnings=list(listing.warnings),
        remembered=len(listing.remembered),
        as_of=min(listing.remembered, default=None),
    )
    report.follow(made)
    report.named = listing.books.named
    if made.empty:
        report.outcome, report.reason = Outcome.UNCHANGED, "there is nothing to delete"
        if confirm and record and record.digests and not record.holds(now):
            await _forget(keeper())
    elif made.refused:
        report.outcome = Outcome.PRECONDITION
        report.reason = f"{made.refused}. Nothing is deleted; look at the plan, then raise the limit if it is right"
    elif confirm:
        await carry_out(repo, driver, listing.graph, rules, made, keeper(), report)
        report.reason = report.reason or "everything was deleted as planned"
    else:
        report.reason = "this is the plan; --confirm carries it out"
    report.requests = client.requests - before
    return report


async def why_kept(
    client: RegistryClient, repository: Repository, rules: Rules, digest: Digest, *, now: datetime, driver: Driver
) -> str:
    """Why `digest` stays, step by step, or why it may go. Raises as `prune`."""
    repo = client.repository(repository)
    listing = await read(repo, driver, rules, now, wanted=digest)
    made = plan(listing.graph, rules, now, can_untag=driver.can_untag)
    if lines := made.why_kept(digest):
        return "\n".join(lines)
    for deletion in made.deletions:
        if deletion.digest == digest:
            return f"{digest} may go: {deletion.reason}"
    raise PreconditionError(f"{repository} holds no manifest {digest}; expected one that was pushed there")


async def _forget(record: RecordKeeper) -> None:
    """Nothing is left of what an interrupted prune had planned."""
    await record.open(())
    await record.close(())


async def _same_time(repository: RepositoryClient, now: datetime) -> None:
    """PreconditionError when our clock and the registry's differ: ages would be wrong."""
    theirs = await repository.clock()
    if theirs and abs(theirs - now) > _SKEW:
        raise PreconditionError(
            f"it is {now:%Y-%m-%d %H:%M} UTC here and {theirs:%Y-%m-%d %H:%M} UTC at {repository.repository.host}: "
            "expected less than 5 minutes between them, because ages decide. Nothing is deleted; set the clock."
        )
