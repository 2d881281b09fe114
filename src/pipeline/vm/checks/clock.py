"""The clock is right: the machine's own clock is, so whoever sets it wrong is in the image."""

import time

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found

TOLERANCE = 60.0
"""Seconds; a guest under emulation on a busy host lags behind by a few."""


async def _look(session: Session) -> Found:
    said = await session.guest.out("date", "+%s")
    return judge_clock(float(said), time.time())


def judge_clock(guest: float, host: float) -> Found:
    """The verdict on both clocks, in seconds since the epoch."""
    off = guest - host
    if abs(off) <= TOLERANCE:
        return Found(note=f"{off:+.1f} s")
    return Found([f"the guest's clock is {off:+.0f} s off"], f"the machine's clock, within {TOLERANCE:.0f} s")


CHECK = VmCheck("clock", _look)
