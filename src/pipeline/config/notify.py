"""`[notify]`: who is told of what. The addresses are a secret of the call, never of this file."""

from pipeline.config.words import Table
from pipeline.quantities import Age
from pipeline.report.notice import Event


class Notify(Table):
    """`[notify]`: what the addresses in `--notify` are told; it never fails a release."""

    on: tuple[Event, ...] = tuple(event for event in Event if event is not Event.BUILT)
    """Of these; all but `built`, which comes with every push, unless said otherwise."""
    waivers: Age = 7 * 86400.0
    """How long before its last day `verify` tells of a waiver."""
