"""What doctor asks openQA: everything that would only show hours into a release."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from pipeline.config import Config, Image, architecture
from pipeline.config import OpenQA as Server
from pipeline.errors import PreconditionError, UsageError
from pipeline.openqa.client import OpenQA, Worker
from pipeline.openqa.scenarios import Product, Template, templates
from pipeline.openqa.transport import NotThere
from pipeline.policy.template import filled
from pipeline.quantities import counted

Look = Callable[[], Awaitable[str]]

_VERSION = "0.0.0"
"""In place of a release's version, which doctor is not told."""


def looks(
    client: OpenQA, config: Config, images: list[Image], scenarios: Callable[[], Awaitable[str]]
) -> dict[str, Look]:
    """The looks by name; each says what was found, or raises PipelineError for what would stop a release.

    Args:
        client: of the server, with the key that a release would use.
        scenarios: reads the file of scenario definitions; empty when the server's templates decide.
    """
    server, upload = config.gates.stable.openqa, config.gates.stable.upload
    if server is None:
        return {}
    platforms = {platform for image in images for platform in config.booted(image)}
    found: dict[str, Look] = {
        "openqa": partial(_answers, client),
        "openqa key": partial(_key, client),
        "openqa workers": partial(_workers, client, server, platforms, scenarios),
        "openqa groups": partial(_groups, client, server),
    }
    if server.scenarios:
        found["openqa scenarios"] = partial(_scenarios, server, platforms, scenarios)
    if upload and client.has_key:
        found["openqa download"] = partial(_download, client, upload.public_url)
    return found


async def _answers(client: OpenQA) -> str:
    return f"{client.url} answers; {counted(len(await client.workers()), 'worker')} known"


async def _key(client: OpenQA) -> str:
    """By a question that openQA answers to operators only; which number is asked about does not matter."""
    if not client.has_key:
        raise PreconditionError("To submit jobs, give an operator's KEY:SECRET as --openqa-auth.")
    with suppress(NotThere):
        await client.scheduled_product(1)
    return "the key is an operator's"


async def _download(client: OpenQA, url: str) -> str:
    """By a submission of a product that no server has: it makes no job, and is a line in the server's product log.

    Whether the server has a route to the host, and what the host gives it, cannot be seen from here.
    """
    await client.ask_to_download(f"{url}/doctor.qcow2")
    return f"it may download from {url}; whether it has a route there cannot be seen from here"


async def _groups(client: OpenQA, server: Server) -> str:
    """Jobs without a group are fine, but nothing keeps them as long as a release."""
    wanted = {
        value for name, value in server.settings.items() if name.lstrip("+") in ("_GROUP", "_GROUP_ID", "GROUP_ID")
    }
    if not wanted:
        return "the settings name no job group: runs are cleaned up with all others that have none"
    there = await client.groups()
    missing = sorted(wanted - there.keys() - set(there.values()))
    if missing:
        names = ", ".join(f"{number} ({name})" for number, name in there.items()) or "none"
        raise PreconditionError(f"There is no job group {', '.join(missing)} at {client.url}; it has {names}.")
    return f"the job group {', '.join(sorted(wanted))} is there"


async def _scenarios(server: Server, platforms: set[str], scenarios: Callable[[], Awaitable[str]]) -> str:
    asked = _asked(server, platforms, await scenarios())
    fewest = min(asked, key=lambda product: len(asked[product]))
    if len(asked[fewest]) < server.expect_jobs:
        raise UsageError(
            f"{server.scenarios} gives {len(asked[fewest])} jobs for {fewest}; expect_jobs is {server.expect_jobs}."
        )
    jobs, submissions = counted(sum(map(len, asked.values())), "job"), counted(len(asked), "submission")
    return f"{server.scenarios} gives {jobs} for {submissions}"


async def _workers(client: OpenQA, server: Server, platforms: set[str], scenarios: Callable[[], Awaitable[str]]) -> str:
    awake = [worker for worker in await client.workers() if worker.status in ("idle", "running")]
    if not awake:
        raise PreconditionError(f"{client.url} has no worker that could take a job: start one.")
    served = ", ".join(sorted({worker.classes for worker in awake}))
    if not server.scenarios:
        return (
            f"{len(awake)} are there ({served}); which classes the server's templates ask for cannot be seen from here"
        )
    asked = _asked(server, platforms, await scenarios())
    idle = [job for jobs in asked.values() for job in jobs if not any(_takes(worker, job) for worker in awake)]
    if idle:
        wanted = ", ".join(sorted({f"{job.title} ({', '.join(sorted(job.classes))})" for job in idle}))
        raise PreconditionError(f"No worker takes {wanted}: {len(awake)} are there, and serve {served}.")
    return f"{counted(len(awake), 'worker')} there, for every job of {server.scenarios}"


def _takes(worker: Worker, job: Template) -> bool:
    return job.classes <= {name.strip() for name in worker.classes.split(",")}


def _asked(server: Server, platforms: set[str], text: str) -> dict[Product, list[Template]]:
    """The jobs of every submission that a release for these platforms would make."""
    products = {
        Product(server.distri, filled(server.version, {"version": _VERSION}), flavor, arch, server.test or "")
        for platform in platforms
        for arch in [server.arch.get(platform, architecture(platform))]
        for flavor in server.flavors
    }
    return {product: templates(text, product, server.settings) for product in sorted(products, key=str)}
