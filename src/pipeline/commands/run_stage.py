"""run-stage: what a workflow runs, by name, so that its report is there also when it did not pass."""

from pipeline.commands import verify
from pipeline.domain import Channel, Refresh
from pipeline.errors import UsageError
from pipeline.report.model import Result
from pipeline.stages import next as next_
from pipeline.stages import stable, testing
from pipeline.world import World

STAGES = ("build-next", "refresh-next", "gate-next", "promote-testing", "promote-stable", "verify")


async def run_stage(world: World, stage: str, tag: str) -> list[Result]:
    """The results of the stage for each image; UsageError for an unknown one.

    A workflow builds in order to push: `build-next` refuses a tree that would not be pushed.
    """
    match stage:
        case "build-next":
            return await next_.build_next(world, must_push=True)
        case "refresh-next":
            return await next_.build_next(world, must_push=True, refresh=Refresh.AUTO)
        case "gate-next":
            return [run.result for run in await next_.gate_next(world)]
        case "promote-testing":
            return await testing.promote_testing(world, tag)
        case "promote-stable":
            return await stable.promote_stable(world, tag)
        case "verify":
            return await verify.verify(world, list(Channel))
    raise UsageError(f"There is no stage {stage!r}; expected {', '.join(STAGES)}.")
