"""When a wait for the guest that came to its end is a door that is shut, and when it says nothing of doors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.vm.accelerator import Accelerator
from pipeline.vm.machine import Overdue
from pipeline.vm.session import Refused, Session
from pipeline.vm.spec import Spec
from pipeline.vm.ways import Refusal


@contextmanager
def phase(seconds: float, overdue: Callable[[], str]) -> Iterator[None]:
    """One that is over at once."""
    yield
    raise Overdue(overdue())


@pytest.mark.parametrize(
    ("up", "refusal", "shut"),
    [
        (20.0, Refusal.NO_ANSWER, True),
        (20.0, Refusal.CLOSED, True),
        (None, Refusal.CLOSED, True),
        (None, Refusal.LOGIN, True),
        (None, Refusal.NO_ANSWER, False),
        (None, Refusal.SILENT, False),
    ],
)
def test_a_guest_that_is_up_or_answers_on_its_network_lets_nobody_in(
    tmp_path: Path, up: float | None, refusal: Refusal, shut: bool
) -> None:
    boot = SimpleNamespace(up=up, kernel=None, userspace=None)
    console = SimpleNamespace(boot=boot, tail=lambda _: "", total=0)
    machine: Any = SimpleNamespace(phase=phase, console=console)
    session = Session(Spec(), machine, Accelerator("kvm", "", 1), None, tmp_path, lambda _: None)  # type: ignore[arg-type]
    with pytest.raises(Refused if shut else Overdue) as caught, session._wait(5, lambda: ("port 22 …", refusal)):
        pass
    assert isinstance(caught.value, Refused) is shut
    assert "port 22 …" in str(caught.value)
