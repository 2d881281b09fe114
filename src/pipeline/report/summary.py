"""summary.md: the result for people, as GitHub-flavoured Markdown."""

from collections.abc import Iterable

from pipeline.quantities import duration_text
from pipeline.report.excerpt import bounded, first_sentence, last_lines
from pipeline.report.markdown import escaped, fenced, table
from pipeline.report.model import Check, Move, Result
from pipeline.report.wording import checks_text, explanation, facts, headline, mark, moves_text, next_step, status_text

_OUTPUT_LINES = 40


def summary(result: Result) -> str:
    """The whole document; its first line is the outcome and the reason in one sentence.

    What came out of the image is escaped, so that it can neither break a table nor add markup.
    """
    result = bounded(result)
    return "\n\n".join(_blocks(result)) + "\n"


def _blocks(result: Result) -> Iterable[str]:
    yield f"# {escaped(headline(result))}"
    if reason := explanation(result):
        yield escaped(reason, keep_lines=True)
    yield f"**What to do next:** {next_step(result)}"
    if result.plan:
        yield f"## Plan\n\n{moves_text(result)}\n\n{table(('tag', 'was', 'becomes'), map(_move, result.plan))}"
    if result.checks:
        rows = map(_check, result.checks)
        yield f"## Checks: {checks_text(result.checks)}\n\n{table(('check', 'result', 'took', 'finding'), rows)}"
    for check in result.checks:
        if not check.lets_through and check.output:
            yield f"### {escaped(check.name)}\n\n{fenced(last_lines(check.output, _OUTPUT_LINES))}"
    if result.timeline:
        phases = [
            (phase.name, duration_text(phase.start), duration_text(phase.end - phase.start))
            for phase in result.timeline
        ]
        yield f"## Timeline\n\n{table(('phase', 'from', 'took'), phases)}"
    yield f"## Facts\n\n{table(('what', 'value'), [*facts(result), *result.inputs.items()])}"


def _move(move: Move) -> tuple[str, str, str]:
    return f"{move.repository}:{move.tag}", move.old.short if move.old else "(new)", move.new.short


def _check(check: Check) -> tuple[str, str, str, str]:
    status = f"{mark(check)} {status_text(check)}"
    return check.name, status, duration_text(check.duration), first_sentence(check.reason)
