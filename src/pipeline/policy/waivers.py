"""Known findings that may ship for a while: a check, a pattern, the bug that tracks it, and the day it ends."""

import re
from datetime import date

from pydantic import BaseModel, ConfigDict, field_validator


class Waiver(BaseModel):
    """`[[waivers]]` of pipeline.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    check: str
    """The name of the check whose finding is waived."""
    match: str
    """A regular expression that must occur in the finding."""
    bug: str
    """Where the finding is tracked."""
    until: date
    """The last day on which the waiver holds; afterwards the finding fails again, loudly."""

    @field_validator("match")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    def covers(self, check: str, finding: str, today: date) -> bool:
        """Whether this waiver lets this finding through today."""
        return self.check == check and self.until >= today and re.search(self.match, finding) is not None
