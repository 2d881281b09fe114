import pytest

from pipeline.gates import shown
from pipeline.openqa.progress import Progress, Running


def test_a_line_comes_when_something_changes_or_nothing_was_said_for_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Running("boot", "https://o/tests/1", "running", "runs boot, module 1 of 2", 5.0)
    with shown.Shown("x86_64/server/") as show:
        for seconds in (5.0, 6.0):
            show(Progress(1, 0, (Running("boot", first.link, "running", first.module, seconds),)))
        show(Progress(1, 0, (Running("boot", first.link, "running", "runs login, module 2 of 2", 7.0),)))
        monkeypatch.setattr(shown, "_SILENCE", 0.0)
        show(Progress(1, 0, (Running("boot", first.link, "running", "runs login, module 2 of 2", 8.0),)))
    lines = capsys.readouterr().out.splitlines()
    assert {line.partition(":")[0] for line in lines} == {"openQA x86_64/server"}
    assert [line.split("; ")[1:] for line in lines] == [
        ["boot runs boot, module 1 of 2 (https://o/tests/1)", "running for 5.0s"],
        ["boot runs login, module 2 of 2 (https://o/tests/1)", "running for 7.0s"],
        ["boot runs login, module 2 of 2 (https://o/tests/1)", "running for 8.0s"],
    ]
