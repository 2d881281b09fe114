"""The commands that a page of the runbook prints, as they are printed, on a bench."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scaffold import Bench

from pipeline.commands import history, status
from pipeline.commands.plan import plan_text
from pipeline.commands.prune import prune, why_kept
from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.errors import PipelineError
from pipeline.registry.retention import DriverKind
from pipeline.report.model import Result

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook.md"


@dataclass(frozen=True)
class Told:
    """How a command ended, and all that it said."""

    outcome: Outcome
    text: str


def page(title: str) -> str:
    """What is below a heading of the runbook."""
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", RUNBOOK.read_text(), re.DOTALL | re.MULTILINE)
    return str(found)


def commands(title: str) -> list[str]:
    """Its commands in their order, those in the middle of a sentence too; without what a comment says."""
    found = re.findall(r"```sh\n(.*?)```|`(pipeline [^`]+)`", page(title), re.DOTALL)
    lines = [line.partition("  #")[0].strip() for block, inline in found for line in (inline or block).splitlines()]
    return [line for line in lines if line]


async def follow(bench: Bench, line: str, said: Mapping[str, str] | None = None) -> Told:
    """Run a printed command, with `said` in place of what the page leaves to the reader (`…`, DIGEST)."""
    for placeholder, meant in (said or {}).items():
        line = line.replace(placeholder, meant)
    assert "…" not in line, f"{line}: the test does not say what the page leaves out"
    program, *words = shlex.split(line)
    try:
        if program == "skopeo":
            return await _skopeo(bench, words)
        assert program == "pipeline", line
        return await _pipeline(bench, words[0], words[1:])
    except PipelineError as error:
        return Told(error.outcome, str(error))


async def _skopeo(bench: Bench, words: Sequence[str]) -> Told:
    """`copy` from a digest or a tag to a tag; all that is below it, as it is."""
    verb, *options, source, target = words
    assert (verb, set(options)) == ("copy", {"--all", "--preserve-digests"})
    place, _, tag = target.removeprefix("docker://").rpartition(":")
    repository, at, digest = source.removeprefix("docker://").partition("@")
    if not at:
        repository, _, named = repository.rpartition(":")
        async with bench.world() as world:
            digest = (await world.registry.repository(Repository.parse(repository)).listed(Tag(named))).digest
    await bench.copy(Repository.parse(repository), Digest(digest), Repository.parse(place), Tag(tag))
    return Told(Outcome.PASSED, "")


async def _pipeline(bench: Bench, name: str, words: Sequence[str]) -> Told:
    options: dict[str, list[str]] = {}
    for word in words:
        option, _, value = word.removeprefix("--").partition("=")
        options.setdefault(option, []).append(value)
    given = {option: values[0] for option, values in options.items()}
    channel = Channel(given["channel"]) if "channel" in given else Channel.STABLE
    image = bench.images[0]
    match name:
        case "verify":
            return _results(await bench.verify())
        case "rollback":
            assert given["reason"]
            return _results(await bench.rollback(channel, given.get("to", "")))
        case "hold":
            return _results(await bench.hold(channel, given["reason"]))
        case "release-hold":
            return _results(await bench.release_hold(channel, *options.get("hold", [])))
        case "record-loss":
            assert given["reason"]
            return _results(await bench.record_loss(channel))
        case "import-from":
            return _results(await bench.import_from(given["repository"]))
        case "promote-stable":
            return _results(await bench.promote_stable(given["tag"]))
        case "plan":
            return Told(Outcome.PASSED, plan_text(await bench.plan(given["tag"])))
        case "prune":
            return await _prune(bench, given)
    async with bench.world() as world:
        match name:
            case "status":
                text = status.status_text({image.place: await status.channels(world, image)})
            case "history":
                text = history.history_text({image.place: await history.history(world, image, channel)})
            case "evidence":
                report = await status.find_report(world, image, given["ref"], Channel(given["gate"]))
                text = f"{len(report)} bytes"
            case "why":
                text = history.why_text(await history.why(world, image, given["ref"]))
            case _:
                raise AssertionError(f"{name}: no page had this command until now")
    return Told(Outcome.PASSED, text)


async def _prune(bench: Bench, given: Mapping[str, str]) -> Told:
    async with bench.world() as world:
        if digest := given.get("why-kept"):
            return Told(Outcome.PASSED, await why_kept(world, digest, driver=DriverKind.OCI, token=None))
        found = await prune(world, confirm="confirm" in given, driver=DriverKind.OCI, token=None)
    outcomes = [report.outcome for one in found for report in one.repositories]
    return Told(max(outcomes, key=lambda one: one.exit_code), "\n\n".join(one.text() for one in found))


def _results(results: Sequence[Result]) -> Told:
    worst = max((result.outcome for result in results), key=lambda one: one.exit_code)
    return Told(worst, "\n".join(result.reason for result in results))
