"""Whether a missed deadline is the machine's fault: by what the guest got, and whether it was still on its way."""

from pathlib import Path

import pytest

from pipeline.vm.starvation import Account, Accounts, Got, between, excuse, steal_share, stolen


@pytest.mark.parametrize(
    ("what", "whole", "recent", "silent", "excused"),
    [
        ("eight processes a core, still booting", Got(600, 66, 520), Got(30, 3, 26), 25, True),
        ("the same, and the console moves", Got(600, 66, 520), Got(30, 1, 2), 1, True),
        ("it wanted little, and waits for what never comes", Got(600, 60, 400), Got(30, 0.1, 0.4), 300, False),
        ("a quiet machine, an image that loops", Got(600, 580, 15), Got(30, 29, 1), 300, False),
        ("a busy machine that still gave enough", Got(600, 270, 320), Got(30, 14, 15), 300, False),
        ("a hypervisor that takes from this machine", Got(600, 100, 50, 380), Got(30, 20, 2, 8), 100, True),
        ("power on, nothing known", Got(0), Got(0), 0, False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_deadline_is_excused_for_a_guest_that_got_little_and_was_on_its_way(
    what: str, whole: Got, recent: Got, silent: float, excused: bool
) -> None:
    assert (excuse(whole, recent, silent) is not None) is excused, what


def test_the_excuse_says_what_the_guest_got_and_what_it_was_doing() -> None:
    said = excuse(Got(600, 66, 480), Got(30, 3, 26), 2)
    assert said is not None
    assert "in 600 s the guest ran for 66 s and was kept waiting for 80% of the time" in said
    assert "its console was still moving and it was still at work" in said


def test_the_thread_that_wanted_most_is_the_guest() -> None:
    before = Account(100, {"1": 50, "2": 5}, {"1": 20, "2": 1}, 0)
    after = Account(130, {"1": 52, "2": 15, "3": 1}, {"1": 21, "2": 12, "3": 0}, 1.5)
    assert between(before, after) == Got(30, 10, 11, 1.5)


def test_accounts_are_of_a_process_that_runs() -> None:
    accounts = Accounts(pid=int(Path("/proc/self").readlink().name), began=0)
    accounts.note()
    accounts.note()
    assert accounts.whole().ran > 0
    assert accounts.recent().elapsed < 1


def test_stolen_time_is_read_where_it_is_counted(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  1 0 1 1 0 0 0 800 0 0\ncpu0 1 0 1 1 0 0 0 800 0 0\n")
    assert stolen(stat) > 0
    assert stolen(tmp_path / "none") == 0
    assert steal_share("cpu  50 0 25 0 0 0 0 25 0 0\n") == 0.25
    assert steal_share("no such thing") == 0
