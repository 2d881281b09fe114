"""`python -m pipeline.image IMAGE... --tests DIR --report DIR`: run the image gate in this machine's podman."""

import argparse
import sys
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
from pydantic import TypeAdapter

from pipeline.errors import PipelineError
from pipeline.image import root_filesystem
from pipeline.image.layout import check_layout
from pipeline.image.lint import Lint, bootc_lint
from pipeline.image.packages import FILE as PACKAGES
from pipeline.image.packages import packages
from pipeline.image.podman import labels, mounted
from pipeline.image.sbom import NONE, Generator, bill
from pipeline.image.tree import Tree
from pipeline.image.unit import unit_tests
from pipeline.policy.gate import verdict
from pipeline.policy.sbom import sbom_file
from pipeline.policy.waivers import Waiver
from pipeline.report.model import Check, Result
from pipeline.report.wording import status_text
from pipeline.vm.verdict import Waivers


async def run_gate(
    images: dict[str, str],
    *,
    tests: Path | None,
    lint: Lint | None,
    generator: Generator | None,
    report: Path,
    waivers: Waivers,
    deadline: float,
) -> Result:
    """Lint (unless None), layout and unit tests of images in local storage, each under `deadline` seconds.

    `images` are those of one index by machine name (`x86_64`), or a single one; every one of them must pass. What the
    generator says is in each goes into the folder `report`.
    """
    start = time.monotonic()
    checks, inputs = [] if generator else [NONE], dict[str, str]()
    try:
        for machine, image in images.items():
            found = await _look_at(image, tests=tests, lint=lint, waivers=waivers, deadline=deadline)
            if generator:
                file = report / sbom_file(machine)
                found.append(await bill(image, generator, file, waivers, deadline=deadline))
            whose = f"{machine}/" if len(images) > 1 else ""
            checks += [check.model_copy(update={"name": whose + check.name}) for check in found]
            inputs[whose + root_filesystem.INPUT] = root_filesystem.declared(Tree(await mounted(image)))
        outcome, reason = verdict(checks)
    except PipelineError as error:
        outcome, reason = error.outcome, str(error)
    return Result(
        command="image",
        outcome=outcome,
        reason=reason,
        checks=checks,
        inputs=inputs | waivers.inputs(),
        duration=time.monotonic() - start,
    )


async def _look_at(
    image: str, *, tests: Path | None, lint: Lint | None, waivers: Waivers, deadline: float
) -> list[Check]:
    linted = [await bootc_lint(image, lint, waivers, deadline=deadline)] if lint else []
    layout = check_layout(await mounted(image), await labels(image), lint.skip if lint else (), waivers)
    return [*linted, *layout, *(await unit_tests(image, tests, waivers, deadline=deadline) if tests else [])]


def main() -> int:
    """Write result.json and packages.txt into the report folder; the exit code is the outcome's."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.image", description=__doc__)
    parser.add_argument("images", nargs="+", metavar="[MACHINE=]IMAGE", help="an image in podman's storage")
    parser.add_argument("--tests", type=Path, help="a folder of executables to run inside the image")
    parser.add_argument("--no-lint", action="store_true", help="leave out bootc container lint")
    parser.add_argument("--lint-warnings", action="store_true", help="what bootc only warns of does not fail")
    parser.add_argument("--skip-lint", action="append", default=[], metavar="NAME", help="a lint of bootc to leave out")
    parser.add_argument("--sbom", metavar="IMAGE", help="what writes an SPDX document of each image")
    parser.add_argument("--tell", action="append", default=[], metavar="WORD", help="an argument for that generator")
    parser.add_argument(
        "--waivers", type=TypeAdapter(list[Waiver]).validate_json, default=[], help="known findings, as JSON"
    )
    parser.add_argument("--deadline", type=float, default=1800, help="seconds for each check")
    parser.add_argument("--report", type=Path, required=True, help="where result.json goes")
    given = parser.parse_args()
    images = dict(image.rpartition("=")[::2] for image in given.images)
    lint = None if given.no_lint else Lint(fatal_warnings=not given.lint_warnings, skip=given.skip_lint)
    waivers = Waivers(given.waivers, datetime.now(UTC).date())
    generator = Generator(given.sbom, given.tell) if given.sbom else None
    given.report.mkdir(parents=True, exist_ok=True)
    told = {"tests": given.tests, "lint": lint, "generator": generator, "report": given.report, "waivers": waivers}
    result = anyio.run(partial(run_gate, images, **told, deadline=given.deadline))
    (given.report / "result.json").write_text(result.model_dump_json(indent=2))
    first = next(iter(images.values()))  # what differs between machines is not what a release is judged by
    if listed := anyio.run(partial(_packages, first, deadline=given.deadline)):
        (given.report / PACKAGES).write_text("\n".join(listed) + "\n")
    for check in result.checks:
        print(f"{check.name}: {status_text(check)}{check.reason and f' ({check.reason})'}")
    return result.exit_code


async def _packages(image: str, *, deadline: float) -> list[str]:
    """A list that cannot be read is no reason to stop an image: `plan` then says that it has none."""
    try:
        return await packages(image, deadline=deadline)
    except PipelineError:
        return []


if __name__ == "__main__":
    sys.exit(main())
