"""A writer whose clock is wrong is told so before it stores anything: people read the times that it writes."""

from datetime import UTC, datetime, timedelta

from pipeline.errors import PreconditionError
from pipeline.registry.client import RepositoryClient

SKEW = timedelta(minutes=5)
"""By so much two clocks may differ; what was written before nobody minds."""


async def refuse_wrong_clock(repo: RepositoryClient, *moments: datetime) -> None:
    """PreconditionError when this machine's clock is not the registry's, or a moment to be written is yet to come.

    The registry's clock is what it said in its last answer (RFC 9110 section 6.6.1, Date); one that says nothing is
    not asked.
    """
    off = repo.clock_is_ahead_by()
    if off is not None and abs(off) > SKEW:
        told = "ahead of" if off > timedelta(0) else "behind"
        raise PreconditionError(
            f"This machine's clock is {_text(off)} {told} that of {repo.repository.host}; expected at most "
            f"{_text(SKEW)}. Set it right (NTP), then run again. Nothing was stored and nothing has moved."
        )
    registrys = datetime.now(UTC) - (off or timedelta(0))
    for moment in moments:
        if moment - registrys > SKEW:
            raise PreconditionError(
                f"A time to be stored in {repo.repository} is {moment:%Y-%m-%d %H:%M} UTC, {_text(moment - registrys)} "
                "from now: the clock of the machine that took it is wrong. Set it right (NTP), then run again."
            )


def _text(difference: timedelta) -> str:
    minutes = round(abs(difference).total_seconds() / 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
