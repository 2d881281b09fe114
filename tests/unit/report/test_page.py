from html.parser import HTMLParser

import pytest

from pipeline.domain import Outcome
from pipeline.report.artefacts import Artefacts, Console, Screenshot
from pipeline.report.model import Check, CheckStatus, Phase
from pipeline.report.page import bars, page, ticks


class _Outline(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_stands_alone(make, failed) -> None:
    artefacts = Artefacts(screenshots=(Screenshot("vm/screen.png", "data:image/png;base64,AAAA"),))
    outline = _Outline(page(make(Outcome.GATE_FAILED, failed), artefacts))
    names = {tag for tag, _ in outline.tags}
    assert not names & {"script", "link", "iframe", "object"}
    assert [attributes["src"] for _, attributes in outline.tags if "src" in attributes] == [
        "data:image/png;base64,AAAA"
    ]
    assert "url(" not in page(make())


def test_what_the_image_prints_is_escaped(make) -> None:
    evil = Check(name="<b>", status=CheckStatus.FAILED, reason="<script>1</script>", output="</pre><script>2</script>")
    artefacts = Artefacts(consoles=(Console("serial.log", "<script>3</script>"),))
    text = page(make(Outcome.GATE_FAILED, evil, reason='"><script>4</script>'), artefacts)
    assert "script" not in {tag for tag, _ in _Outline(text).tags}
    assert "&lt;script&gt;3" in text


def test_addresses_become_links_and_nothing_else_does(make) -> None:
    text = page(make(reason="See https://openqa.example/tests/1 and javascript:alert(1).", inputs={"job": "data:x,y"}))
    links = [attributes["href"] for tag, attributes in _Outline(text).tags if tag == "a"]
    assert links == ["https://openqa.example/tests/1"]


def test_failed_checks_are_open_and_passed_ones_closed(make, failed) -> None:
    passed = Check(name="kernel", status=CheckStatus.PASSED, output="6.1.0")
    outline = _Outline(page(make(Outcome.GATE_FAILED, passed, failed)))
    details = [attributes for tag, attributes in outline.tags if tag == "details"]
    assert [("open" in attributes) for attributes in details] == [False, True]


def test_advice_does_not_look_like_a_failure(make, advice) -> None:
    text = page(make(Outcome.PASSED, advice))
    assert '<details class="check advice">' in text
    assert '<span class="status">advice</span>' in text
    assert "✘" not in text


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_has_a_page(make, outcome: Outcome) -> None:
    text = page(make(outcome, plan=[], timeline=[], inputs={}))
    assert "<h2>Timeline" not in text
    assert (
        f'<header class="{"good" if outcome.exit_code == 0 else "bad" if outcome.exit_code == 1 else "warn"}">' in text
    )


def test_bars_are_in_percent_of_the_whole() -> None:
    kernel, checks = bars([Phase(name="kernel", start=0, end=5), Phase(name="checks", start=5, end=20)])
    assert (kernel.left, kernel.width) == (0, 25)
    assert (checks.left, checks.width, checks.took) == (25, 75, "15s")


def test_a_timeline_of_no_length_divides_by_nothing() -> None:
    assert bars([Phase(name="kernel", start=0, end=0)])[0].width == 0
    assert ticks(0) == []


@pytest.mark.parametrize("whole", [0.3, 4, 33, 61, 250, 3600, 20_000, 10**6])
def test_ticks_are_few_and_inside(whole: float) -> None:
    found = ticks(whole)
    assert found[0].text == "0"
    assert all(0 <= tick.left <= 100 for tick in found)
    assert len(found) <= 12
