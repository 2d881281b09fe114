import pytest

from pipeline.domain import Channel, Digest, Outcome
from pipeline.report.model import Check, CheckStatus
from pipeline.report.text import WIDTH, ChannelLine, channels_table, plan_table, result_text, table


def test_no_line_is_wider_than_a_terminal(make, failed) -> None:
    wide = Check(name="journal", status=CheckStatus.FAILED, reason="word " * 60, output="x" * 500)
    for outcome in Outcome:
        text = result_text(make(outcome, failed, wide, reason="w" * 300 + " more. And more. " * 20), console="c" * 300)
        assert max(map(len, text.splitlines())) <= WIDTH


def test_a_failure_names_the_check_the_finding_and_the_last_console_lines(make, failed) -> None:
    text = result_text(make(Outcome.GATE_FAILED, failed), console="early\n" + "boot\n" * 20 + "Kernel panic\n")
    assert "✘  units  failed" in text
    assert "greeting.service failed. Expected no failed unit." in text
    assert "| greeting.service: exited, status=1" in text
    assert "| Kernel panic" in text
    assert "early" not in text


def test_advice_does_not_look_like_a_failure(make, advice) -> None:
    text = result_text(make(Outcome.PASSED, advice))
    assert "△  size-change  advice" in text
    assert "grew by 9 %" in text
    assert "failed" not in text
    assert "✘" not in text


def test_a_success_shows_no_console(make) -> None:
    assert "console" not in result_text(make(), console="Kernel panic")


def test_moves_stand_below_their_repository(make) -> None:
    assert plan_table(make().plan).splitlines() == [
        "ghcr.io/tuna-os/yellowfin",
        "  tag          was               becomes",
        "  v1.2.3-test  (new)         ->  aaaaaaaaaaaa",
        "  testing      bbbbbbbbbbbb  ->  aaaaaaaaaaaa",
    ]


def test_channels_are_shown_with_what_is_known() -> None:
    lines = [
        ChannelLine(Channel.NEXT, Digest("sha256:" + "a" * 64), "", 7200, "passed", "3 commits ahead of testing"),
        ChannelLine(Channel.STABLE, None),
    ]
    header, first, second = channels_table(lines).splitlines()
    assert header.split() == ["channel", "digest", "version", "age", "evidence", "note"]
    assert first.split(maxsplit=5) == ["next", "a" * 12, "-", "2h00m", "passed", "3 commits ahead of testing"]
    assert second.split() == ["stable", "(none)", "-", "-", "-"]


@pytest.mark.parametrize("rows", [[], [("a", "b")]])
def test_a_table_has_its_header_even_when_empty(rows: list[tuple[str, str]]) -> None:
    assert table(("one", "two"), rows).splitlines()[0].split() == ["one", "two"]


def test_the_last_column_wraps_below_itself() -> None:
    assert table(("", ""), [("name", "word " * 8)], width=26) == "name  word word word word\n      word word word word"
