"""What all tests share."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One backend: asyncssh and qemu.qmp need asyncio."""
    return "asyncio"
