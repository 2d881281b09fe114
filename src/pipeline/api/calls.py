"""One call: the outside opened, and whatever happens brought to an end that has an outcome."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar, dataclass_transform

from dagger import check, field, function, object_type
from pydantic import TypeAdapter

from pipeline.containers.apprise import tell
from pipeline.ending import CallFailed, broken_off, stopped
from pipeline.report.board import Ending
from pipeline.report.model import Result
from pipeline.report.notice import notices
from pipeline.report.release import merge
from pipeline.report.text import result_text
from pipeline.world import Given, World, open_world

Method = TypeVar("Method", bound=Callable[..., Any])
Class = TypeVar("Class")
Act = Callable[[World], Awaitable[list[Result]]]


def acting(method: Method) -> Method:
    """A function of the API that acts on the world outside: its result is never taken from a cache."""
    decorated: Method = function(method, cache="never")  # type: ignore[call-overload] # the SDK's overloads forget it
    return decorated


def checking(method: Method) -> Method:
    """One that `dagger check` runs as well: it needs no argument, and its no is an error."""
    marked: Method = check(method)  # type: ignore[assignment] # the overloads lose the type
    return acting(marked)


def lasting(method: Method) -> Method:
    """A function of the API that follows from what its object names: within a session it is answered once.

    Not longer: objects hold the caller's source and services, which the engine forgets with the session.
    """
    decorated: Method = function(method, cache="session")  # type: ignore[call-overload] # the overloads forget it
    return decorated


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def api_object(cls: type[Class]) -> type[Class]:
    """A type of the API; attributes that are no `field` are its state, which a caller does not see."""
    decorated: type[Class] = object_type(cls)
    return decorated


@contextmanager
def ending(command: str) -> Iterator[None]:
    """Every error that a user can cause ends as one paragraph with its outcome."""
    started = datetime.now(UTC)
    try:
        yield
    except CallFailed:
        raise
    except Exception as error:
        raise broken_off(command, started, error) from None


@asynccontextmanager
async def opened(command: str, given: Given, images: list[str] | None = None) -> AsyncIterator[World]:
    """Open the outside, with such an ending."""
    with ending(command):
        async with open_world(given, images or []) as world:
            yield world


async def results_of(command: str, given: Given, images: list[str] | None, act: Act) -> list[Result]:
    """What a command came to, an error included: as the one result that says what ended it."""
    started = datetime.now(UTC)
    try:
        async with open_world(given, images or []) as world:
            results = await act(world)
            await _tell(world, results)
            return results
    except Exception as error:
        return [stopped(command, started, error)]


async def _tell(world: World, results: Sequence[Result]) -> None:
    """Whoever is to be told is told; it changes nothing of the results."""
    if world.given.notify:
        asked = world.config.notify
        today = datetime.now(UTC).date()
        waivers = [Ending(one.until, one.text) for one in world.config.waivers]
        found = notices(results, asked.on, waivers, today=today, ahead=asked.waivers)
        await tell(world.reach, world.given.notify, found)


def told(results: Sequence[Result], as_json: bool = False) -> str:
    """The summary of a command that passed; the same as an error otherwise, so that the call fails.

    An error is text for people in either case: its outcome and exit code are in the error's extensions.
    """
    if any(result.exit_code for result in results):
        raise CallFailed.of(results)
    return json_of(results) if as_json else result_text(merge(results))


def json_of(found: object) -> str:
    """The same content for machines."""
    return printed(TypeAdapter(type(found)).dump_json(found, indent=2, serialize_as_any=True).decode())


def printed(text: str) -> str:
    """As a file has it, with a newline at its end: `dagger call` adds one on a terminal alone."""
    return text.rstrip("\n") + "\n"
