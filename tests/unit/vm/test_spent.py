"""The guest's time is counted once, and the rest is the harness's."""

import time

import pytest

from pipeline.vm.spent import Stopwatch, process_start, union


def test_overlapping_work_counts_once() -> None:
    assert union([(1, 3), (2, 4), (10, 11), (10.2, 10.4)]) == 4
    assert union([]) == 0


def test_commands_of_the_second_boot_belong_to_it() -> None:
    now = time.monotonic()
    watch = Stopwatch(
        began=now - 100,
        guest=[(now - 90, now - 60), (now - 50, now - 48), (now - 35, now - 33)],
        second_boot=[(now - 40, now - 20)],
        user_pytest=[(now - 15, now - 12)],
        machine=[(now - 92, now - 5)],
    )
    spent = watch.spent()
    assert spent.guest == pytest.approx(32)
    assert spent.second_boot == pytest.approx(20)
    assert spent.user_pytest == pytest.approx(3)
    assert spent.harness == pytest.approx(45, abs=0.1)
    assert spent.before == pytest.approx(8)
    assert spent.after == pytest.approx(5, abs=0.1)
    assert "harness 45.0" in spent.line


def test_this_process_started_before_now() -> None:
    assert 0 < time.monotonic() - process_start() < 24 * 3600
