"""GitHub-flavoured Markdown in which what came from outside can neither break a table nor add markup."""

import re
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts."""
    lines = [header, ["---"] * len(header), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: str, *, keep_lines: bool = False) -> str:
    """Text as it is, on one line unless told otherwise."""
    found = re.sub(r"([\\`*\[\]|])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")
    return found.replace("\n", "  \n") if keep_lines else " ".join(found.split())


def fenced(text: str, language: str = "text") -> str:
    """A block of code, whatever is in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
