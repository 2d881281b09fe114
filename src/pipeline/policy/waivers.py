"""Known findings that may ship for a while: a check, a pattern, the bug that tracks it, and the day it ends."""

import re
import signal
import threading
from datetime import date, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.domain import Channel
from pipeline.policy.checks import gate_of

_LONGEST = 2.0
"""Seconds of the processor that a look for an expression may take: some take longer than anybody lives."""
_too_slow: set[str] = set()


class _TooSlowError(Exception):
    """An expression that goes back and forth."""


def occurs(expression: str, finding: str) -> bool:
    """Whether a waiver's expression occurs in a finding.

    One that took too long is not looked for again in this process: it lets nothing through. Only the main thread can
    be interrupted in a look, and all that judges runs there.
    """
    if expression in _too_slow:
        return False
    if threading.current_thread() is not threading.main_thread():
        return re.search(expression, finding) is not None
    before = signal.signal(signal.SIGVTALRM, _end)
    signal.setitimer(signal.ITIMER_VIRTUAL, _LONGEST)
    try:
        return re.search(expression, finding) is not None
    except _TooSlowError:
        _too_slow.add(expression)
        return False
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _end(*_: object) -> None:
    raise _TooSlowError


class Waiver(BaseModel):
    """`[[waivers]]`: a finding of a check, or a job or module of openQA."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    check: str = ""
    """The name of the check whose finding is waived; with `job` or `module` it may be left out."""
    match: str = ""
    """A regular expression that must occur in the finding."""
    gate: Channel | None = None
    """The gate that makes the check; it may be left out."""
    job: str = ""
    """The openQA scenario whose failure is waived, by its test name."""
    module: str = ""
    """The openQA test module whose failure is waived; in every job when `job` is absent."""
    bug: str = Field(min_length=1)
    """Where the finding is tracked."""
    until: date
    """The last day on which the waiver holds; afterwards the finding fails again, loudly."""

    @field_validator("bug", "job", "module")
    @classmethod
    def _is_not_blank(cls, value: str) -> str:
        if value.isspace():
            raise ValueError("expected a text that is not blank")
        return value

    @field_validator("until", mode="before")
    @classmethod
    def _is_a_day(cls, value: object) -> object:
        written = isinstance(value, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
        if written or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        raise ValueError("expected a day such as 2027-01-31")

    @field_validator("match")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"expected a regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _names_one_kind_of_finding(self) -> Self:
        if self.for_openqa and self.check:
            raise ValueError("expected either check, or job and module of openQA")
        if not self.for_openqa and not (self.check and self.match):
            raise ValueError("expected check and match, or job or module of openQA")
        if self.for_openqa and self.gate not in (None, Channel.STABLE):
            raise ValueError("expected gate = 'stable', or none: openQA's jobs and modules are in no other gate")
        return self

    @property
    def for_openqa(self) -> bool:
        """Whether it is about a job or module of openQA."""
        return bool(self.job or self.module)

    @property
    def text(self) -> str:
        """For people: what is waived, until when and why."""
        what = f"{self.check} {self.match!r}" if self.check else " ".join(filter(None, (self.job, self.module)))
        return f"{what} until {self.until} ({self.bug})"

    def holds_in(self, gate: Channel) -> bool:
        """Whether it is a waiver of this gate: the one that makes its check, or of openQA's in that of stable."""
        makes = Channel.STABLE if self.for_openqa else gate_of(self.check)
        return gate is makes and self.gate in (None, gate)

    def covers(self, check: str, finding: str, today: date) -> bool:
        """Whether this waiver lets this finding through today."""
        return bool(self.check) and self.check == check and self.until >= today and occurs(self.match, finding)
