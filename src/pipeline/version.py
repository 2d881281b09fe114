"""The version of this module, from the package that is installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    MODULE_VERSION = version("bootc-pipeline")
except PackageNotFoundError:  # run from its sources
    MODULE_VERSION = "unreleased"
