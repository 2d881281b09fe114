"""Debian's Chromium and Deque's axe-core, as the readers that our pages meet."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

AXE = "axe-core@4"
PHONE, DESK = 360, 1280
"""Widths in CSS pixels."""
_CSP = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
_ASK = """
<script src="axe.min.js"></script>
<script>
  axe.run({runOnly: ["wcag2a", "wcag2aa"]}).then(found => parent.postMessage({
    width: innerWidth,
    needs: document.documentElement.scrollWidth,
    wide: [...document.querySelectorAll("body *")]
      .filter(one => one.getBoundingClientRect().right > innerWidth && !one.closest(".scroll, pre, .console"))
      .map(one => one.outerHTML.slice(0, 200)).slice(0, 5),
    wrong: found.violations.map(one => `${one.id}: ${one.nodes.slice(0, 3).map(node => node.html).join(" ")}`),
  }, "*"))
</script>
"""
_FRAME = """<!doctype html>
<iframe src="page.html" style="width:{width}px;height:2000px;border:0"></iframe>
<script>
  addEventListener("message", told => document.body.replaceChildren(
    Object.assign(document.createElement("pre"), {{textContent: JSON.stringify(told.data)}})))
</script>
"""


@dataclass(frozen=True)
class Seen:
    """What a reader with a screen of some width found."""

    overflow: int
    """Pixels by which the page is wider than the screen."""
    wide: list[str]
    """Elements that stick out of it."""
    wrong: list[str]
    """What axe-core holds against WCAG 2 A and AA: contrast, names, structure."""


@dataclass(frozen=True)
class Browser:
    """A folder with the tools, and Chromium."""

    folder: Path
    program: str

    def looks_at(self, page: str, width: int, *, dark: bool) -> Seen:
        """Show a page in a frame of this width."""
        assert _CSP.search(page), "a page that lets scripts in"
        (self.folder / "page.html").write_text(_CSP.sub("", page).replace("</body>", f"{_ASK}</body>"))
        (self.folder / "frame.html").write_text(_FRAME.format(width=width))
        shown = self._run("--dump-dom", "--virtual-time-budget=60000", dark=dark)
        told = re.search(r"<pre>(.*)</pre>", shown, re.DOTALL)
        assert told, shown[-2000:]
        found: dict[str, Any] = json.loads(unescape(told[1]))
        assert found["width"] == width
        return Seen(found["needs"] - width, found["wide"], found["wrong"])

    def picture(self, page: str, width: int, to: Path, *, dark: bool) -> None:
        """A screenshot, PNG, for people."""
        (self.folder / "page.html").write_text(page)
        (self.folder / "frame.html").write_text(_FRAME.format(width=width))
        self._run(f"--screenshot={to}", f"--window-size={max(width, 500) + 20},2000", dark=dark)

    def _run(self, *options: str, dark: bool) -> str:
        command = [
            *(self.program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--allow-file-access-from-files", f"--blink-settings=preferredColorScheme={0 if dark else 1}"),
            *options,
            (self.folder / "frame.html").as_uri(),
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=180).stdout


def installed(folder: Path) -> Browser:
    """With what is missing put in place: Chromium from Debian, axe-core from npm."""
    if not shutil.which("chromium"):
        install = (
            "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends --yes"
        )
        subprocess.run(["sh", "-c", f"{install} chromium fonts-dejavu-core >/dev/null"], check=True)
    subprocess.run(["npm", "install", "--silent", "--no-save", "--prefix", folder, AXE], check=True)
    shutil.copy(folder / "node_modules/axe-core/axe.min.js", folder)
    return Browser(folder, "chromium")
