"""pipeline.toml of the user's repository: what to build, what each gate asks for, where things go.

`parse` reads the text; `Config` is the whole of it, with a module for each table. The docstring below a field is its
line in docs/configuration.md and in the schema.
"""

from pipeline.config.builder import BOOTC_IMAGE_BUILDER, OUTPUT, OUTPUTS, QCOW2, Builder, architecture
from pipeline.config.document import FILE, Config, StaleAfter
from pipeline.config.gates import Budgets, Gates, KnownFinding, Lint, NextGate, StableGate, TestingGate
from pipeline.config.image import Build, Image, Rechunk
from pipeline.config.notify import Notify
from pipeline.config.openqa import OpenQA, OpenQAJob, Upload
from pipeline.config.reading import parse, parse_trust
from pipeline.config.trust import Signer, Trust

__all__ = [
    "BOOTC_IMAGE_BUILDER",
    "FILE",
    "OUTPUT",
    "OUTPUTS",
    "QCOW2",
    "Budgets",
    "Build",
    "Builder",
    "Config",
    "Gates",
    "Image",
    "KnownFinding",
    "Lint",
    "NextGate",
    "Notify",
    "OpenQA",
    "OpenQAJob",
    "Rechunk",
    "Signer",
    "StableGate",
    "StaleAfter",
    "TestingGate",
    "Trust",
    "Upload",
    "architecture",
    "parse",
    "parse_trust",
]
