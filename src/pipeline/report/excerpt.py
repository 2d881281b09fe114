"""Text from a machine under test, made fit for reports: plain, printable, bounded."""

import re

from pipeline.report.model import Result

OUTPUT_LIMIT = 4096
"""Characters of output kept for each check, and of the reason; whole logs are files beside the result."""

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_=>]|[()][0-9A-B])")
"""Terminal control sequences (ECMA-48: CSI, OSC and the two-character ones), as consoles are full of them."""

_UNPRINTABLE = re.compile(r"[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 forbids (production 2, Char), and the C1 controls."""


def plain(text: str) -> str:
    """Without terminal sequences and control characters, lines ended by `\\n` alone."""
    return _UNPRINTABLE.sub("", _ESCAPE.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


def tail(text: str, limit: int = OUTPUT_LIMIT) -> str:
    """The end of a text, at most `limit` characters from a line's start; a first line says what is missing."""
    if len(text) <= limit:
        return text
    kept = text[-limit:]
    at_line = kept.find("\n") + 1
    if 0 < at_line < limit // 2:
        kept = kept[at_line:]
    return f"[{len(text) - len(kept)} characters before this are left out]\n{kept}"


def last_lines(text: str, count: int) -> str:
    """The last `count` lines, blank ones at the end not counted."""
    return "\n".join(text.rstrip().splitlines()[-count:])


def first_sentence(text: str, limit: int = 160) -> str:
    """What fits a headline: the first sentence, on one line, cut at a word when it is too long."""
    line = " ".join(text.split())
    sentence = re.split(r"(?<=[.!?]) (?=[A-Z:`])", line, maxsplit=1)[0].rstrip(".")
    if len(sentence) <= limit:
        return sentence
    return sentence[:limit].rsplit(" ", 1)[0] + " …"


def bounded(result: Result) -> Result:
    """The same result with every text plain and short enough for result.json."""
    checks = [
        check.model_copy(update={"reason": tail(plain(check.reason)), "output": tail(plain(check.output))})
        for check in result.checks
    ]
    return result.model_copy(update={"reason": tail(plain(result.reason)), "checks": checks})
