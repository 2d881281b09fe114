"""A user's pytest-testinfra module: `host` is the booted system."""

from typing import Any


def test_ssh_is_enabled(host: Any) -> None:
    assert host.service("ssh").is_running
    assert host.service("ssh").is_enabled


def test_root_has_no_password(host: Any) -> None:
    assert host.file("/etc/shadow").contains("^root:\\*:")
