"""Two machines, one after the other, on one timeline."""

from pipeline.gates.boot import after
from pipeline.report.model import Phase


def test_the_second_machine_starts_when_the_first_one_is_off() -> None:
    first = [Phase(name="kernel", start=1, end=5), Phase(name="reboot", start=5, end=9)]
    (phase,) = after(first, [Phase(name="stable/kernel", start=1, end=2)])
    assert (phase.start, phase.end) == (10, 11)
    assert after([], [phase]) == [phase]
