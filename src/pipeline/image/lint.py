"""bootc's own lint, run by the bootc that the image ships."""

from pipeline.image.podman import run_inside
from pipeline.report.model import Check, CheckStatus

NAME = "bootc-lint"
COMMAND = ["bootc", "container", "lint", "--fatal-warnings"]


async def bootc_lint(image: str, *, deadline: float) -> Check:
    """Judge by exit code and show the text: after a lint's runtime error there are no summary lines.

    An image without bootc has nothing to lint with: the check is skipped and says so, and is not required then.
    """
    there = await run_inside(image, ["/bin/sh", "-c", "command -v bootc"], deadline=deadline)
    if there.code:
        return Check(name=NAME, status=CheckStatus.SKIPPED, required=False, reason="the image has no bootc")
    done = await run_inside(image, COMMAND, deadline=deadline)
    return Check(
        name=NAME,
        status=CheckStatus.FAILED if done.code else CheckStatus.PASSED,
        reason=f"`{' '.join(COMMAND)}` ended with {done.code}; expected 0" if done.code else "",
        duration=done.duration,
        output=done.output[-4000:],
    )
