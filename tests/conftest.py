"""What all tests share."""

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # a busy one is slow now and then
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One backend: asyncssh and qemu.qmp need asyncio."""
    return "asyncio"
