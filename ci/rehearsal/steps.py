"""How long each command of a call took, read from Dagger's own log."""

import re

_SPAN = re.compile(r"^(?P<id>\d+) +: [^\w]*(?P<text>.*)$")
_COMMAND = re.compile(r"withExec (?!DONE |CACHED )(?P<command>.*)")
_DONE = re.compile(r"(?:withExec|Container\.withExec) DONE \[(?P<time>[^\]]+)\]")
_TIME = re.compile(r"(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>[\d.]+)s)?")

TESTING = {
    "fetch the image": r"pipeline\.image\.oci_layout|skopeo .*containers-storage:",
    "build the disk": r"--type qcow2",
    "qemu-img check": r"pipeline\.vm\.form",
    "sha256 of the disk": r"sha256sum",
    "boot and checks": r"pipeline\.vm\s",
    "store the disk": r"pipeline\.registry\.disk push",
    "move both tags": r"skopeo .*--preserve-digests",
}
"""The steps of the testing stage, by what their commands look like."""


def times(log: str, steps: dict[str, str]) -> dict[str, float]:
    """Seconds of each step; commands that come several times are added up, and what is not in the log is left out."""
    commands: dict[str, str] = {}
    spent: dict[str, float] = {}
    for line in log.splitlines():
        span = _SPAN.match(line)
        if not span:
            continue
        if command := _COMMAND.search(span["text"]):
            commands[span["id"]] = command["command"]
        elif done := _DONE.search(span["text"]):
            spent[span["id"]] = max(spent.get(span["id"], 0.0), seconds(done["time"]))
    found: dict[str, float] = {}
    for span_id, command_line in commands.items():
        for step, pattern in steps.items():
            if span_id in spent and re.search(pattern, command_line):
                found[step] = found.get(step, 0.0) + spent[span_id]
    return found


def seconds(text: str) -> float:
    """`1m10s` or `0.3s`."""
    parts = _TIME.fullmatch(text)
    assert parts, text
    return float(parts["hours"] or 0) * 3600 + float(parts["minutes"] or 0) * 60 + float(parts["seconds"] or 0)
