"""Whether a medium came to its installer's first screen: by its console, or by what the display shows."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from pipeline.vm import installer as under_test
from pipeline.vm.installer import STAYS, Screens, first_screen
from pipeline.vm.machine import running
from pipeline.vm.picture import Picture, read_ppm


def ppm(colours: int, width: int = 64, height: int = 48) -> bytes:
    """A picture of so many colours."""
    pixels = b"".join(bytes([at % colours, at % colours, 7]) for at in range(width * height))
    return b"P6\n%d %d\n255\n" % (width, height) + pixels


def test_a_picture_is_known_by_its_size_and_colours() -> None:
    text, drawn = read_ppm(ppm(2)), read_ppm(ppm(200))
    assert (text.width, text.height, text.colours, text.drawn) == (64, 48, 2, False)
    assert (drawn.colours, drawn.drawn) == (200, True)
    assert text.fingerprint != drawn.fingerprint
    assert read_ppm(ppm(2)) == text


@pytest.mark.parametrize("content", [b"", b"P5\n1 1\n255\n.", ppm(2)[:100], b"\x89PNG"])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"PPM|bytes of pixels"):
        read_ppm(content)


MENU, SPLASH, TEXT, DRAWN = (
    Picture(800, 600, 200, "menu"),
    Picture(800, 600, 90, "splash"),
    Picture(800, 600, 3, "text"),
    Picture(1024, 768, 400, "installer"),
)


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ([MENU] * 50, False),
        ([MENU] * 8 + [TEXT] * 50, False),
        ([MENU] * 8 + [SPLASH] * 2 + [TEXT] * 3 + [DRAWN] * (STAYS + 1), True),
        ([MENU] * 8 + [DRAWN] * STAYS, False),
        ([MENU] * 8 + [SPLASH, DRAWN] * 20, False),
    ],
    ids=["the menu waits", "a kernel that panicked", "an installer", "not yet", "something that moves"],
)
def test_the_installer_is_a_drawn_screen_that_stays_and_is_not_the_menu(shown: list[Picture], came: bool) -> None:
    screens = Screens()
    assert any(screens.see(picture) for picture in shown) is came


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    monkeypatch.setattr(under_test, "LOOK", 0.02)

    async def run(*scene: dict[str, object], limit: float = 10) -> object:
        script = tmp_path / "scene.json"
        script.write_text(json.dumps(scene))
        fake = Path(__file__).with_name("fake_qemu.py")
        socket = tmp_path / "qmp"
        command = [sys.executable, str(fake), str(socket), str(script)]
        async with running(command, socket, tmp_path, lambda _: None) as machine:
            with anyio.fail_after(30):
                return await first_screen(machine, tmp_path, limit)

    return run


async def test_an_installer_that_speaks_on_the_console_has_come(play) -> None:
    found = await play({"console": "[ 3.1] x\r\nStarting installer, one moment...\r\n", "hang": True})
    assert (found.findings, found.note) == ((), "the console says: Starting installer, one moment...")


async def test_a_medium_that_panics_or_comes_to_nothing_is_a_finding(play) -> None:
    panic = "[    2.6] Kernel panic - not syncing: No working init found\r\n"
    found = await play({"console": "[ 0.000000] Linux version 6\r\n" + panic, "hang": True})
    assert "Kernel panic" in found.findings[0]
    found = await play({"hang": True}, limit=0.2)
    assert found.findings == ["no installer within 0 s"]
