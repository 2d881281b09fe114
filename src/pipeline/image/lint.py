"""bootc's own lint, run by the bootc that the image ships."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.image.foreign import FOREIGN, looks_foreign
from pipeline.image.podman import Finished, run_inside
from pipeline.report.model import Check, CheckStatus

NAME = "bootc-lint"
_NONE = 3
"""Said by the shell inside when there is no bootc: podman, its runtime and the shell itself end with other codes."""
_FINDINGS = ("Failed lint:", "Lint warning:")
"""How bootc begins a finding, on stdout."""


@dataclass(frozen=True)
class Lint:
    """What is asked of `bootc container lint`."""

    fatal_warnings: bool = True
    skip: Sequence[str] = ()

    @property
    def command(self) -> list[str]:
        """Its command line."""
        fatal = ["--fatal-warnings"] if self.fatal_warnings else []
        return ["bootc", "container", "lint", *fatal, *(word for name in self.skip for word in ("--skip", name))]


async def bootc_lint(image: str, asked: Lint, *, deadline: float) -> Check:
    """Judge by exit code and show the text: after a lint's runtime error there are no summary lines.

    An image without bootc has nothing to lint with: the check is skipped and says so, and is not required then.
    Raises PreconditionError for an image whose programs do not run here, whether it has bootc or not.
    """
    there = await run_inside(image, ["/bin/sh", "-c", f"command -v bootc || exit {_NONE}"], deadline=deadline)
    if looks_foreign(there.output):
        raise PreconditionError(f"{image} cannot be linted: {there.last_line}. {FOREIGN}")
    if there.code not in (0, _NONE):
        raise InfrastructureError(f"podman cannot run {image}: {there.last_line}")
    if there.code == _NONE:
        return Check(name=NAME, status=CheckStatus.SKIPPED, required=False, reason="the image has no bootc")
    done = await run_inside(image, asked.command, deadline=deadline)
    return Check(
        name=NAME,
        status=CheckStatus.FAILED if done.code else CheckStatus.PASSED,
        reason=f"{finding(done)} (`{' '.join(asked.command)}` ended with {done.code})" if done.code else "",
        duration=done.duration,
        output=done.output[-4000:],
    )


def finding(done: Finished) -> str:
    """bootc's own words: the failed lints, then the warnings; else its error line, which alone names a broken file."""
    lines = [line.strip() for line in done.stdout.splitlines()]
    found = [line.removesuffix(":") for start in _FINDINGS for line in lines if line.startswith(start)]
    errors = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
    broken = [line for line in errors if "Checks failed" not in line]
    return "; ".join(found[:5] + broken[-1:]) or (errors or [done.last_line])[-1]
