"""What a candidate is compared with: the current stable image, as its own testing gate measured it."""

from pipeline.config import Budgets as Configured
from pipeline.config import Image
from pipeline.domain import Channel, Digest
from pipeline.gates.evidence import verdict_on
from pipeline.policy.platforms import short_name
from pipeline.quantities import whole
from pipeline.registry.client import RepositoryClient
from pipeline.report.model import Result
from pipeline.vm.spec import BOOT_CHANGE, BOOT_PHASES, BUSY, SIZE_CHANGE, WAITED, Baseline, Budgets, Spec
from pipeline.world import World


async def compared_with_stable(world: World, image: Image, digest: Digest, platform: str, spec: Spec) -> Spec:
    """The specification of a candidate's gate, with the budgets and what is known of stable."""
    configured = world.config.gates.testing.budgets
    return spec.model_copy(
        update={
            "image_size": await image_size(world.repository(image), digest, platform),
            "stable": await _stable(world, image, platform),
            "budgets": budgets(configured),
            "required": spec.required | required(configured),
        }
    )


def budgets(configured: Configured) -> Budgets:
    """What stands in pipeline.toml, and the usual limits for the rest."""
    return Budgets.model_validate(configured.model_dump(exclude_none=True))


def required(configured: Configured) -> frozenset[str]:
    """The comparisons that somebody set a limit for: they are no advice any more."""
    limits = {BOOT_CHANGE: configured.boot_growth, SIZE_CHANGE: configured.size_growth}
    return frozenset(name for name, limit in limits.items() if limit is not None)


async def _stable(world: World, image: Image, platform: str) -> Baseline | None:
    home = world.repository(image, Channel.STABLE)
    digest = await home.digest(image.tags.channel(Channel.STABLE))
    if digest is None:
        return None
    evidence = await verdict_on(home, digest, Channel.TESTING)
    size = await image_size(home, digest, platform)
    return baseline(digest, size, evidence.result if evidence else None, short_name(platform))


def baseline(digest: Digest, size: int | None, result: Result | None, arch: str) -> Baseline:
    """What a testing gate's result says of the boot of one architecture; of several, each name has it in front."""
    if result is None:
        return Baseline(name=digest.short, image_size=size)
    inputs = {name.removeprefix(f"{arch}/"): value for name, value in result.inputs.items()}
    took = {phase.name.removeprefix(f"{arch}/"): phase.end - phase.start for phase in result.timeline}
    return Baseline(
        name=digest.short,
        accelerator=inputs.get("accelerator", ""),
        busy=_share(inputs.get(WAITED, "")) >= BUSY,
        phases={name: took[name] for name in BOOT_PHASES if name in took} if "ready" in took else {},
        image_size=size,
        disk_size=whole(inputs.get("disk_size", "")),
    )


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


async def image_size(registry: RepositoryClient, digest: Digest, platform: str) -> int | None:
    """Bytes of the compressed layers that a machine of this platform pulls; None when there is no such image."""
    found = (await registry.platforms(digest)).get(platform)
    manifest = await registry.manifest(found) if found else None
    return sum(layer.size for layer in manifest.layers) if manifest else None
