from pipeline.domain import Outcome
from pipeline.report.excerpt import OUTPUT_LIMIT, bounded, first_sentence, last_lines, plain, tail
from pipeline.report.model import Check, CheckStatus


def test_terminal_sequences_and_control_characters_are_removed() -> None:
    console = "\x1b[0;1;31mFailed\x1b[0m\x1b]0;title\x07 to start\r\nnext\x00\x08\x0b\x7f\x9b\ufffe line\tend"
    assert plain(console) == "Failed to start\nnext line\tend"


def test_a_text_within_the_limit_is_kept_as_it_is() -> None:
    assert tail("short", 5) == "short"


def test_a_long_text_keeps_its_end_from_a_line_start_and_says_what_is_missing() -> None:
    text = "\n".join(f"line {number}" for number in range(100))
    kept = tail(text, 50)
    assert kept.startswith("[")
    assert kept.splitlines()[1].startswith("line ")
    assert kept.endswith("line 99")
    assert len(kept) < 110


def test_one_endless_line_is_cut_too() -> None:
    assert tail("x" * 1000, 100) == "[900 characters before this are left out]\n" + "x" * 100


def test_last_lines_ignore_blank_ends() -> None:
    assert last_lines("a\nb\nc\n\n\n", 2) == "b\nc"


def test_the_first_sentence_ends_where_the_next_one_begins() -> None:
    assert first_sentence("a.service failed at 1.5 s. Correct it.\n") == "a.service failed at 1.5 s"


def test_a_sentence_too_long_for_a_headline_is_cut_at_a_word() -> None:
    assert first_sentence("one two three four", limit=10) == "one two …"


def test_no_check_makes_result_json_large(make) -> None:
    loud = Check(name="journal", status=CheckStatus.FAILED, reason="r" * 10**6, output="o\n" * 10**6)
    result = bounded(make(Outcome.GATE_FAILED, loud))
    assert len(result.model_dump_json()) < 4 * OUTPUT_LIMIT
    assert loud.output.startswith("o\no"), "the caller's own copy is left alone"
