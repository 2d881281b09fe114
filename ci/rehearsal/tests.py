"""What the bench has in common with the tests, which are no package: each folder's conftest by its place."""

from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

from rehearsal.lab import MODULE


def conftest(folder: str) -> Any:
    """The module of a folder below tests/."""
    path = MODULE / "tests" / folder / "conftest.py"
    spec = spec_from_file_location(f"conftest_of_{folder.replace('/', '_')}", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{path} cannot be loaded")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
