"""A run of openQA as it is seen while a command waits for it: lines of text, and spans of the trace."""

import sys
import time
from typing import Self

from dagger.telemetry import get_tracer
from opentelemetry import trace

from pipeline.openqa.progress import Progress

_SILENCE = 60.0
"""Seconds after which a line comes although nothing has changed."""


class Shown:
    """A callable, and a context manager that ends the spans.

    A line is printed when something changes, or a minute has passed. Each job that runs is a span with its link, and
    each module that runs one below it.
    """

    def __init__(self, name: str) -> None:
        self._name, self._tracer = f"openQA {name.rstrip('/')}".rstrip(), get_tracer()
        self._spans: dict[tuple[str, str], trace.Span] = {}
        self._said, self._at = "", 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._keep(set())

    def __call__(self, progress: Progress) -> None:
        """Show where the run is now."""
        at = time.monotonic()
        if progress.what != self._said or at - self._at >= _SILENCE:
            self._said, self._at = progress.what, at
            sys.stdout.write(f"{self._name}: {progress.line}\n")
            sys.stdout.flush()
        wanted = {(job.link, part): job.title for job in progress.running for part in {"", job.module}}
        self._keep(set(wanted))
        for link, module in sorted(wanted.keys() - self._spans.keys()):
            title = module or f"{self._name}: {wanted[link, module]} {link}"
            above = trace.set_span_in_context(self._spans[link, ""]) if module else None
            self._spans[link, module] = self._tracer.start_span(title, above)

    def _keep(self, wanted: set[tuple[str, str]]) -> None:
        """End every other span, modules before their jobs."""
        for key in sorted(self._spans.keys() - wanted, reverse=True):
            self._spans.pop(key).end()
