"""What the terminal shows: plain text, no line wider than 100 columns."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from pipeline.domain import Channel, Digest, Tag
from pipeline.quantities import duration_text
from pipeline.report.excerpt import bounded, last_lines
from pipeline.report.model import Check, Move, Result
from pipeline.report.wording import checks_text, explanation, facts, headline, mark, moves_text, next_step, status_text

WIDTH = 100
_OUTPUT_LINES = 15


@dataclass(frozen=True)
class ChannelLine:
    """One channel of one repository as `status` shows it."""

    channel: Channel
    digest: Digest | None
    version: str = ""
    """The version tag with the same digest."""
    age: float | None = None
    """Seconds since the image was created."""
    evidence: str = ""
    """`passed`, `failed`, `missing` or whatever is known."""
    note: str = ""
    """As in `3 commits ahead of testing`."""
    tag: Tag | None = None
    """What it is called in the registry."""
    aliases: list[Tag] = field(default_factory=list)
    """The tags that follow it, so far as they name the same digest."""


def channels_table(lines: Iterable[ChannelLine]) -> str:
    """The channels, one a line: digest (12 digits), version, age, evidence, note."""
    return table(
        ("channel", "digest", "version", "age", "evidence", "note"),
        [
            (
                _called(line),
                line.digest.short if line.digest else "(none)",
                line.version or "-",
                "-" if line.age is None else duration_text(line.age),
                line.evidence or "-",
                "; ".join([*([f"also {', '.join(line.aliases)}"] if line.aliases else []), *filter(None, [line.note])]),
            )
            for line in lines
        ],
    )


def _called(line: ChannelLine) -> str:
    other = line.tag and line.tag != line.channel.value
    return f"{line.channel} ({line.tag})" if other else line.channel.value


def plan_table(plan: Sequence[Move]) -> str:
    """The tag moves, by repository: tag, old and new digest (12 digits)."""
    blocks = []
    for repository, moves in groupby(plan, key=lambda move: move.repository):
        rows = [(move.tag, move.old.short if move.old else "(new)", "->", move.new.short) for move in moves]
        blocks.append(f"{repository}\n{textwrap.indent(table(('tag', 'was', '', 'becomes'), rows), '  ')}")
    return "\n".join(blocks)


def result_text(result: Result, console: str = "") -> str:
    """What a bare `dagger call` prints, or fails with: headline, checks, moves, what to do next.

    `console` is the end of the serial console; its last lines are shown when the result is not a success.
    """
    result = bounded(result)
    return "\n\n".join(_blocks(result, console)) + "\n"


def _blocks(result: Result, console: str) -> Iterable[str]:
    yield _wrapped(headline(result))
    if reason := explanation(result):
        yield "\n".join(_wrapped(line) for line in reason.splitlines())
    yield table(("", ""), facts(result))
    if result.checks:
        yield f"Checks: {checks_text(result.checks)}\n{textwrap.indent(_checks(result.checks), '  ')}"
    if result.plan:
        yield f"{moves_text(result)}\n{textwrap.indent(plan_table(result.plan), '  ')}"
    if result.exit_code and console:
        yield f"The console's last lines:\n{_quoted(console)}"
    yield _wrapped(f"Next: {next_step(result)}")


def _checks(checks: Sequence[Check]) -> str:
    blocks = []
    rows = [(mark(check), check.name, status_text(check), duration_text(check.duration)) for check in checks]
    for check, line in zip(checks, table(("", "", "", ""), rows).splitlines(), strict=True):
        blocks.append(line)
        if check.reason:
            blocks.append(_wrapped(check.reason, indent=4))
        if check.output and not check.lets_through:
            blocks.append(textwrap.indent(_quoted(check.output), "    "))
    return "\n".join(blocks)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], width: int = WIDTH - 4) -> str:
    """Aligned columns; the last one takes what is left of `width` and wraps. An empty header is not shown."""
    lines = [[str(cell) for cell in row] for row in rows]
    shown = [list(header), *lines] if any(header) else lines
    columns = [max((len(line[index]) for line in shown), default=0) for index in range(len(header) - 1)]
    return "\n".join(_row(line, columns, width) for line in shown)


def _row(line: Sequence[str], columns: Sequence[int], width: int) -> str:
    start = "".join(f"{cell:<{column}}  " for cell, column in zip(line, columns, strict=False))
    first, *rest = textwrap.wrap(line[-1], max(20, width - len(start))) or [""]
    return "\n".join([(start + first).rstrip(), *(" " * len(start) + more for more in rest)])


def _wrapped(text: str, indent: int = 0) -> str:
    lead = " " * indent
    return textwrap.fill(" ".join(text.split()), WIDTH - 4, initial_indent=lead, subsequent_indent=lead)


def _quoted(text: str) -> str:
    room = WIDTH - 12
    lines = last_lines(text, _OUTPUT_LINES).expandtabs().splitlines()
    return "\n".join(f"| {line if len(line) <= room else line[: room - 1] + '…'}".rstrip() for line in lines)
