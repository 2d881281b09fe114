"""openQA's jobs as the gate sees them (openQA 4.6 REST API: /api/v1/jobs/<id> and /api/v1/jobs/<id>/details).

Everything here was written by a server that tests of other people feed: names, texts and times may be anything. What a
decision needs and is odd is a ValueError; what only a report shows is made plain, or left out.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from pipeline.openqa.foreign import readable
from pipeline.quantities import whole

FINAL_STATES = frozenset({"done", "cancelled"})
"""A job in any other state may still change its result by itself."""

_GOOD_MODULES = frozenset({"passed", "softfailed", "skipped"})

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
"""A file of the server that is taken into the report: one that can only name something in its own folder."""

_NEEDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@:-]{0,127}")

_BUG = re.compile(r"[a-z]{2,10}#[A-Za-z0-9_.#/-]{1,120}")
"""`bsc#1234`, or `gh#owner/name#12` where the tracker has many repositories."""

_NAME_LENGTH, _SETTING_LENGTH, _TEXT_LENGTH = 200, 20_000, 4000
_MODULES, _FILES = 2000, 200


@dataclass(frozen=True)
class Needle:
    """A picture of a screen that was looked for and not found."""

    name: str
    file: str = ""
    """Where the server has its description; tells needles of the same name in several folders apart."""
    error: float = 1.0
    """How far the nearest place of the screen was from it, from 0 to 1 (os-autoinst: tinycv, search)."""

    @classmethod
    def parse(cls, data: object) -> Self | None:
        """Read one of a step's `needles`; None when it names none."""
        if not isinstance(data, dict) or not isinstance(data.get("name"), str) or not _NEEDLE.fullmatch(data["name"]):
            return None
        error, file = data.get("error"), data.get("json")
        off = float(error) if isinstance(error, int | float) and 0 <= error <= 1 else 1.0
        return cls(data["name"], readable(file, 500) if isinstance(file, str) else "", off)


@dataclass(frozen=True)
class Module:
    """One test module of a job."""

    name: str
    result: str
    important: bool = True
    """False when the test itself says that its failure does not count (`ignore_failure`)."""
    finding: str = ""
    """What the failing steps said."""
    screenshots: tuple[str, ...] = ()
    """File names of the pictures, oldest first."""
    needles: tuple[Needle, ...] = ()
    """What the last failing step that looked for a screen would have taken for it, the nearest first."""

    @classmethod
    def parse(cls, data: object) -> Self:
        """Read one entry of `testresults`; TypeError when it is not one."""
        if not isinstance(data, dict):
            raise TypeError(f"a module that is {str(data)[:80]!r}")
        steps = [step for step in _listed(data.get("details")) if isinstance(step, dict)]
        failing = [str(step.get("text_data") or "").strip() for step in steps if step.get("result") == "fail"]
        return cls(
            name=readable(data.get("name") or "?", _NAME_LENGTH),
            result=readable(data.get("result") or "none", _NAME_LENGTH),
            important=data.get("important") not in (0, "0"),
            finding=readable("\n".join(text for text in failing if text), _TEXT_LENGTH),
            screenshots=_file_names([step.get("screenshot") for step in steps]),
            needles=_needles(steps),
        )


@dataclass(frozen=True)
class Job:
    """One run of one test suite on one worker."""

    id: int
    state: str
    result: str
    test: str
    settings: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    clone_id: int | None = None
    """The job that replaces this one; its result is the one that counts."""
    replaces: frozenset[int] = frozenset()
    """The jobs before it in its chain of clones, as far as they were seen."""
    group_id: int | None = None
    relatives: frozenset[int] = frozenset()
    """The jobs that this one waits for, runs beside, or that wait for it."""
    modules: tuple[Module, ...] | None = None
    """None when the details were not read (jobs that are not final)."""
    logs: tuple[str, ...] = ()
    """Names of the files that the worker uploaded."""
    started: datetime | None = None
    seconds: float = 0.0
    bugs: Mapping[str, str] = field(default_factory=dict)
    """The bugs that comments name (`bsc#1234`), each with the name of who wrote that; empty when nobody asked."""
    emulator: str = ""
    """The line of its console that says that the emulated machine was at fault; empty when nobody looked."""

    @classmethod
    def parse(cls, data: object) -> Self:
        """Read the `job` object of an answer; KeyError, TypeError or ValueError when it is not one."""
        if not isinstance(data, dict):
            raise TypeError(f"a job that is {str(data)[:80]!r}")
        settings = {
            readable(key, _NAME_LENGTH): readable(value, _SETTING_LENGTH)
            for key, value in _table(data.get("settings")).items()
        }
        return cls(
            id=_number(data["id"]),
            state=_word(data["state"]),
            result=_word(data["result"]),
            test=readable(data.get("test") or settings.get("TEST", "?"), _NAME_LENGTH),
            settings=settings,
            reason=readable(data.get("reason") or "", _TEXT_LENGTH),
            clone_id=_number(data["clone_id"]) if data.get("clone_id") else None,
            replaces=frozenset({_number(data["origin_id"])} if data.get("origin_id") else ()),
            group_id=_number(data["group_id"]) if data.get("group_id") else None,
            relatives=_relatives(data.get("parents")) | _relatives(data.get("children")),
            modules=_modules(data.get("testresults")),
            logs=_file_names([*_listed(data.get("logs")), *_listed(data.get("ulogs"))]),
            started=_time(data.get("t_started")),
            seconds=_seconds(data.get("t_started"), data.get("t_finished")),
        )

    @classmethod
    def parse_listed(cls, data: object) -> Self:
        """Read one entry of a list of jobs: its modules are there by name and result only, which is for looking on.

        Of a job that has ended they prove nothing, and are left out.
        """
        job = cls.parse(data)
        if job.final or not isinstance(data, dict):
            return job.without_modules()
        return replace(job, modules=_modules(data.get("modules")))

    def without_modules(self) -> Self:
        """The same job as if nobody had asked for its details."""
        return replace(self, modules=None)

    def preceded_by(self, numbers: Iterable[int]) -> Self:
        """The same job at the end of a chain of clones."""
        return replace(self, replaces=self.replaces | frozenset(numbers))

    @property
    def final(self) -> bool:
        """Whether openQA itself will not change this job any more."""
        return self.state in FINAL_STATES

    @property
    def emulated(self) -> bool:
        """Whether its machine had no processor of its own (os-autoinst: QEMU_NO_KVM)."""
        return self.settings.get("QEMU_NO_KVM", "0") not in ("", "0")

    @property
    def title(self) -> str:
        """What people call it: test suite and machine."""
        machine = self.settings.get("MACHINE")
        return f"{self.test}@{readable(machine, _NAME_LENGTH)}" if machine else self.test

    @property
    def failed_modules(self) -> tuple[Module, ...]:
        """The modules that failed, or during which the job ended, and whose failure counts."""
        return tuple(module for module in self.unproven_modules if module.result != "none")

    @property
    def unproven_modules(self) -> tuple[Module, ...]:
        """The modules that count and did not pass: failed ones, and ones that a failure kept from running (`none`)."""
        return tuple(module for module in self.modules or () if module.important and module.result not in _GOOD_MODULES)


def _needles(steps: list[dict[str, Any]]) -> tuple[Needle, ...]:
    sought = [step["needles"] for step in steps if step.get("result") == "fail" and _listed(step.get("needles"))]
    found = [needle for entry in (sought[-1] if sought else [])[:_FILES] if (needle := Needle.parse(entry))]
    return tuple(sorted(found, key=lambda needle: needle.error))


def bug_references(comments: object) -> dict[str, str]:
    """The bugs that the comments of a job name, as openQA itself found them, each with the name of who wrote that.

    What is odd is left out: a reference only ever lets something through. (OpenQA::Schema::Result::Comments,
    extended_hash; OpenQA::Utils, find_bugrefs.)
    """
    return {
        bug: readable(comment.get("userName") or "?", _NAME_LENGTH)
        for comment in _listed(comments)
        if isinstance(comment, dict)
        for bug in _listed(comment.get("bugrefs"))
        if isinstance(bug, str) and _BUG.fullmatch(bug)
    }


def _number(value: object) -> int:
    """An id as openQA counts: a positive whole number."""
    number = whole(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{str(value)[:80]!r} is no id")
    return number


def _word(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{str(value)[:80]!r} is no state or result")
    return readable(value, _NAME_LENGTH)


def _table(value: object) -> dict[Any, Any]:
    if value in (None, []):  # how Perl writes an empty one
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"{str(value)[:80]!r} where a table is expected")
    return value


def _modules(value: object) -> tuple[Module, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > _MODULES:
        raise ValueError(f"test results that are {str(value)[:80]!r}")
    return tuple(Module.parse(entry) for entry in value)


def _relatives(value: object) -> frozenset[int]:
    """The ids in `parents` or `children`, whatever the kind of the dependency."""
    return frozenset(_number(number) for ids in _table(value).values() for number in _listed(ids))


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _file_names(found: list[Any]) -> tuple[str, ...]:
    plain = [name for name in found if isinstance(name, str) and _FILE_NAME.fullmatch(name)]
    return tuple(plain[:_FILES])


def _time(value: object) -> datetime | None:
    """openQA's times are UTC, with or without saying so."""
    try:
        time = datetime.fromisoformat(str(value))
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _seconds(started: object, finished: object) -> float:
    """From start to end; 0 when either is unknown."""
    begin, end = _time(started), _time(finished)
    return max(0.0, (end - begin).total_seconds()) if begin and end else 0.0
