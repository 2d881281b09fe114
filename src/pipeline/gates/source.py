"""The source is whole: what pipeline.toml names in it is there and would run, looked at before anything is built."""

from collections.abc import Mapping

from pipeline.config import Config, Image
from pipeline.containers.given import require, require_suite
from pipeline.domain import Channel
from pipeline.errors import UsageError
from pipeline.policy.checks import gate_of, own_file
from pipeline.world import World

TESTS = {Channel.NEXT: "gates.next.tests", Channel.TESTING: "gates.testing.checks"}
"""The keys of the repository's own tests."""


async def require_source(world: World, *gates: Channel, built_here: bool = True) -> None:
    """Everything that these gates will ask of the source is there; a Containerfile only where it is `built_here`.

    Raises UsageError, with one line for each file or folder that is not, for files whose content git did not fetch,
    and for a file that looks like a test and would not run.
    """
    source, config = world.given.source, world.config
    for gate in gates:
        await require(source, named(config, world.images if built_here else [], gate))
    if pointers := await world.history.pointers():
        raise UsageError(
            f"The source has {len(pointers)} pointers of Git LFS ({pointers[0]}, ...), which would be built in instead "
            "of what they point to. Fetch it (git lfs pull; actions/checkout: lfs: true)."
        )
    for gate in gates:
        if folder := _tests(config).get(gate):
            await require_suite(source, TESTS[gate], folder, vm=gate is Channel.TESTING)


def named(config: Config, images: list[Image], gate: Channel) -> Mapping[str, str | None]:
    """The paths that a gate is told, by the keys that name them; UsageError for a waiver of tests that are nowhere."""
    if gate is Channel.STABLE:
        openqa = config.gates.stable.openqa
        if openqa is None:
            return {}
        assets = {f"gates.stable.openqa.assets.{name}": path for name, path in openqa.assets.items()}
        return {"gates.stable.openqa.scenarios": openqa.scenarios} | assets
    tests = _tests(config)[gate]
    paths: dict[str, str | None] = {TESTS[gate]: tests}
    if gate is Channel.NEXT:
        for image in images:
            paths |= {f"images.{image.name}.{key}": path for key, path in _build_paths(image).items()}
    else:
        paths["gates.testing.builder.config"] = config.gates.testing.builder.config
    for number, waiver in enumerate(config.waivers):
        if gate_of(waiver.check) is gate and (file := own_file(waiver.check)):
            key = f"waivers.{number}.check"
            if not tests:
                raise UsageError(f"{key}: {waiver.check} is a test of {TESTS[gate]}, which is not set. Correct either.")
            paths[key] = f"{tests}/{file}"
    return paths


def _build_paths(image: Image) -> Mapping[str, str | None]:
    folders = {name: place for name, place in image.build.contexts.items() if "://" not in place}
    return {
        "containerfile": image.containerfile,
        "context": image.context if image.context.strip("./") else None,
        "build.args_file": image.build.args_file,
        **{f"build.contexts.{name}": place for name, place in folders.items()},
    }


def _tests(config: Config) -> Mapping[Channel, str | None]:
    return {Channel.NEXT: config.gates.next.tests, Channel.TESTING: config.gates.testing.checks}
