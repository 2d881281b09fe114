"""Runs over SSH against the booted guest (pytest-testinfra): `host` is the machine."""


def test_the_greeting_service_is_active_and_enabled(host):
    service = host.service("sample-os-greeting.service")
    assert service.is_running
    assert service.is_enabled


def test_the_payload_is_root_owned_and_read_only_for_others(host):
    greeting = host.file("/usr/share/sample-os/greeting")
    assert greeting.content_string == "hello\n"
    assert greeting.user == "root"
    assert greeting.mode == 0o644
