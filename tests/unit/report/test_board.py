"""The board says where the channels stand, whatever came out of a registry."""

import re
from datetime import UTC, date, datetime
from xml.etree import ElementTree

import pytest

from pipeline.domain import Channel, Digest, Outcome
from pipeline.report.board import Ending, Released, Report, Standing, Step, Tone, badge, board, ending
from pipeline.report.model import Result
from pipeline.report.text import ChannelLine

NOW = datetime(2027, 1, 20, tzinfo=UTC)
DIGEST = Digest("sha256:" + "ab" * 32)
DAY = 86400.0


def _line(channel: Channel = Channel.STABLE, **known: object) -> ChannelLine:
    usual = {"digest": DIGEST, "version": "v1.4.0", "age": 3 * DAY, "evidence": "passed"}
    return ChannelLine(channel, **(usual | known))


def _waiver(until: date) -> Ending:
    return Ending(until, "units 'x' (https://example.org/12)")


@pytest.mark.parametrize(
    ("line", "tone"),
    [
        (_line(), Tone.GOOD),
        (_line(age=30 * DAY), Tone.WARN),
        (_line(note="on hold by abc (CVE)"), Tone.WARN),
        (_line(evidence="missing"), Tone.BAD),
        (_line(digest=None, evidence=""), Tone.WARN),
    ],
)
def test_a_colour_means_something(line: ChannelLine, tone: Tone) -> None:
    assert Standing("os", "r.test/os", [line], {"stable": 14 * DAY}).tone(line) is tone


def test_the_page_stands_alone_and_escapes_what_came_from_outside() -> None:
    evil = '<script src="https://evil.example"></script>'
    step = Step(NOW, "rollback", ["stable"], evil, evil)
    page = board([Standing("os", "r.test/os", [_line(note=evil)], steps=[step])], [], NOW)["index.html"]
    assert "<script" not in page
    assert not re.search(r"<[^>]*(src|href)=", page)
    assert "v1.4.0" in page
    assert "rollback" in page


def test_links_lead_to_pages_that_are_there() -> None:
    told = Result(command="promote-testing", outcome=Outcome.GATE_FAILED, reason="<b>broken</b>")
    passed, failed = (Report(Channel.TESTING, Digest("sha256:" + one * 64), told) for one in "ab")
    pages = board(
        [Standing("os", "r.test/os", [_line(digest=passed.digest)], reports=[passed], failed=[failed])], [], NOW
    )
    links = set(re.findall(r'href="([^"]+)"', pages["index.html"]))
    assert links == {passed.path("os"), failed.path("os")} <= set(pages)
    assert "<b>broken" not in "".join(pages.values())


def test_a_measure_that_nobody_took_is_a_dash_beside_the_others() -> None:
    releases = [Released("v2.0.0", NOW, DIGEST, boot=30.0, size=0), Released("v1.0.0", NOW, DIGEST)]
    (_, newer), (_, older) = Standing("os", "r.test/os", [], releases=releases).charted
    assert newer == [("30s", 100.0), ("0 B", 0.0), ("", 0.0)]
    assert older == [("", 0.0)] * 3


def test_every_channel_has_a_badge() -> None:
    pages = board([Standing("os", "r.test/os", [_line(channel) for channel in Channel])], [], NOW)
    assert all(text.endswith(">\n") for text in pages.values())
    assert {path for path in pages if path.endswith(".svg")} == {f"badges/os-{one}.svg" for one in Channel}
    assert "v1.4.0" in pages["badges/os-stable.svg"]


def test_a_badge_is_xml_whatever_stands_in_it() -> None:
    ElementTree.fromstring(badge("<&", '"v1"', Tone.BAD))


def test_waivers_are_shown_before_they_end() -> None:
    ended, soon, later = (_waiver(date(2027, *day)) for day in ((1, 2), (2, 1), (6, 1)))
    assert ending([later, soon, ended], NOW.date()) == [ended, soon]


def test_many_images_are_one_page() -> None:
    page = board([Standing(f"os-{n}", f"r.test/os-{n}", [_line()]) for n in range(142)], [], NOW)["index.html"]
    assert page.count("<section id=") == 142
    assert page.count('<td><a href="#os-') == 142
