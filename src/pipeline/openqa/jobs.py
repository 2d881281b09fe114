"""openQA's jobs as the gate sees them (openQA 4.6 REST API: /api/v1/jobs/<id> and /api/v1/jobs/<id>/details)."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

FINAL_STATES = frozenset({"done", "cancelled"})
"""A job in any other state may still change its result by itself."""

_GOOD_MODULES = frozenset({"passed", "softfailed", "skipped"})


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

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """Read one entry of `testresults`."""
        steps = [step for step in data.get("details") or [] if isinstance(step, dict)]
        failing = [str(step.get("text_data") or "").strip() for step in steps if step.get("result") == "fail"]
        return cls(
            name=str(data.get("name", "?")),
            result=str(data.get("result", "none")),
            important=bool(data.get("important", 1)),
            finding="\n".join(text for text in failing if text),
            screenshots=tuple(str(step["screenshot"]) for step in steps if step.get("screenshot")),
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
    modules: tuple[Module, ...] | None = None
    """None when the details were not read (jobs that are not final)."""
    logs: tuple[str, ...] = ()
    """Names of the files that the worker uploaded."""
    seconds: float = 0.0

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Self:
        """Read the `job` object of an answer; KeyError, TypeError or ValueError when it is not one."""
        settings = {str(key): str(value) for key, value in (data.get("settings") or {}).items()}
        results = data.get("testresults")
        return cls(
            id=int(data["id"]),
            state=str(data["state"]),
            result=str(data["result"]),
            test=str(data.get("test") or settings.get("TEST", "?")),
            settings=settings,
            reason=str(data.get("reason") or ""),
            clone_id=int(data["clone_id"]) if data.get("clone_id") else None,
            modules=None if results is None else tuple(Module.parse(entry) for entry in results),
            logs=tuple(str(name) for key in ("logs", "ulogs") for name in data.get(key) or []),
            seconds=_seconds(data.get("t_started"), data.get("t_finished")),
        )

    @property
    def final(self) -> bool:
        """Whether openQA itself will not change this job any more."""
        return self.state in FINAL_STATES

    @property
    def title(self) -> str:
        """What people call it: test suite and machine."""
        machine = self.settings.get("MACHINE")
        return f"{self.test}@{machine}" if machine else self.test

    @property
    def failed_modules(self) -> tuple[Module, ...]:
        """The modules that failed, or during which the job ended, and whose failure counts."""
        return tuple(module for module in self.unproven_modules if module.result != "none")

    @property
    def unproven_modules(self) -> tuple[Module, ...]:
        """The modules that count and did not pass: failed ones, and ones that a failure kept from running (`none`)."""
        return tuple(module for module in self.modules or () if module.important and module.result not in _GOOD_MODULES)


def _seconds(started: object, finished: object) -> float:
    try:
        span = datetime.fromisoformat(str(finished)) - datetime.fromisoformat(str(started))
    except ValueError:
        return 0.0
    return max(0.0, span.total_seconds())
