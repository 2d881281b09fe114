"""Our pages in a real browser: nothing sticks out of a phone's screen, all can be read, in light and in dark."""

import base64
import sys
import zlib
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from browser import DESK, PHONE, Browser, installed

from pipeline.domain import Channel, Commit, Digest, Outcome, Tag
from pipeline.report.artefacts import Artefacts, Console, Screenshot
from pipeline.report.board import Between, Ending, Released, Report, Standing, Step, board
from pipeline.report.model import Check, CheckStatus, Move, Phase, Result
from pipeline.report.page import page
from pipeline.report.text import ChannelLine

pytestmark = pytest.mark.thorough

NOW = datetime(2027, 1, 20, 9, tzinfo=UTC)
DIGESTS = [Digest("sha256:" + one * 64) for one in "abcd"]
PLACE = "registry.example.org/some/quite/long/path/to/the-desktop-of-everybody"
LONG = "a-very-long-name-without-a-place-to-break-" * 3


def _result(outcome: Outcome) -> Result:
    failed = outcome is Outcome.GATE_FAILED
    return Result(
        command="promote-testing",
        outcome=outcome,
        reason=f"units: {LONG}.service failed; expected no failed unit. See https://openqa.example.org/tests/4711.",
        image="desktop",
        repository=PLACE,
        digest=DIGESTS[0],
        commit=Commit("1" * 40),
        tag=Tag("v1.2.0-test"),
        checks=[
            Check(name=name, status=status, reason=f"{name} {LONG}", duration=61.5, output=f"{LONG}\n" * 40)
            for name, status in zip(("units", "boot", "journal", "selinux", "user/x"), CheckStatus, strict=True)
        ],
        plan=[
            Move(repository=PLACE, tag=Tag(tag), old=DIGESTS[1], new=DIGESTS[0]) for tag in ("v1.2.0-test", "testing")
        ],
        timeline=[Phase(name=f"phase-{n}", start=n * 100, end=n * 100 + 90) for n in range(6)],
        inputs={"disk sha256": "d" * 64, "linux-amd64/disk artifact": f"{PLACE}@{DIGESTS[2]}"},
        started=NOW,
        duration=964.2 if failed else 64.2,
    )


def _report(outcome: Outcome) -> str:
    pixel = zlib.compress(b"\0" + b"\x40\x60\x80" * 640)
    picture = f"data:image/png;base64,{base64.b64encode(pixel).decode()}"
    console = Console("console.log", f"[    0.000000] Linux version 6 {LONG}\n" * 60)
    return page(_result(outcome), Artefacts(screenshots=(Screenshot("vm/screen.png", picture),), consoles=(console,)))


def _standing(name: str) -> Standing:
    lines = [
        ChannelLine(
            channel,
            digest,
            version="v1.2.0",
            age=86400.0 * 3,
            evidence=said,
            note=f"on hold by {LONG}" if channel is Channel.STABLE else "next is 3 commits ahead",
            aliases=[Tag("latest"), Tag("stable-20270120")],
        )
        for channel, digest, said in zip(Channel, DIGESTS, ("passed", "gate failed", "passed"), strict=False)
    ]
    return Standing(
        name=name,
        place=f"{PLACE}-{name}",
        lines=lines,
        stale_after={"next": 86400.0},
        signed=[Channel.STABLE],
        between=[
            Between(Channel.NEXT, Channel.TESTING, 3, [f"1234567 {LONG}"] * 3, 1.5, [f"{LONG} 1.0 → 2.0"], "SBOM"),
            Between(Channel.TESTING, Channel.STABLE, None, [], None, None),
        ],
        releases=[
            Released(f"v1.{9 - n}.0", NOW, DIGESTS[3], 10.0 + n, n == 2, 10**9 * n, 10**8 * n) for n in range(10)
        ],
        reports=[
            Report(gate, DIGESTS[2], _result(Outcome.PASSED), ["https://openqa.example.org/tests/1"])
            for gate in Channel
        ],
        failed=[Report(Channel.TESTING, DIGESTS[1], _result(Outcome.GATE_FAILED))],
        unread=3,
        steps=[Step(NOW, "rollback", ["v1.1.0", "stable"], "https://ci.example.org/runs/123456", LONG)],
    )


def _board(*names: str) -> str:
    waivers = [Ending(date(2027, 2, day), f"units '{LONG}' (https://bugs.example.org/12)") for day in (1, 2)]
    return board([_standing(name) for name in names], waivers, NOW)["index.html"]


PAGES = {
    "board": _board("desktop"),
    "board-of-many": _board(*(f"flavor-{n}" for n in range(142))),
    "failed": _report(Outcome.GATE_FAILED),
    "passed": _report(Outcome.PASSED),
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return installed(tmp_path_factory.mktemp("browser"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("name", PAGES)
def test_it_fits_and_can_be_read(browser: Browser, name: str, width: int, dark: bool, tmp_path: Path) -> None:
    browser.picture(PAGES[name], width, tmp_path / f"{name}.png", dark=dark)
    seen = browser.looks_at(PAGES[name], width, dark=dark)
    assert not seen.wrong, "\n".join(seen.wrong)
    assert not seen.overflow, "\n".join(seen.wide)
