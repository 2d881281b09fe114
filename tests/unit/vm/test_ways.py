"""The ways into a guest: what each asks of it, and which comes after one that led nowhere."""

import base64

import pytest

from pipeline.vm.checks.ssh import is_routed, judge_ssh
from pipeline.vm.verdict import Found, Skipped
from pipeline.vm.ways import Refusal, Way, credentials, next_way

KEY = "ssh-ed25519 AAAAC3Nza gate"
ALL = tuple(Way)


def told(way: Way, files: str = "") -> dict[str, str]:
    """The credentials by name."""
    prefix = "io.systemd.credential.binary:"
    pairs = (credential.removeprefix(prefix).split("=", 1) for credential in credentials(way, KEY, files))
    return {name: base64.b64decode(value).decode() for name, value in pairs}


def test_a_key_is_all_that_an_open_server_needs() -> None:
    assert set(told(Way.KEY)) == {"ssh.authorized_keys.root", "tmpfiles.extra"}


def test_a_server_that_is_not_started_is_wanted_and_takes_roots_key_whatever_its_name() -> None:
    made = told(Way.SERVER)
    assert made["systemd.unit-dropin.multi-user.target"] == "[Unit]\nWants=sshd.service ssh.service\n"
    for unit in ("sshd.service", "ssh.service", "sshd@.service", "ssh@.service"):
        text = made[f"systemd.unit-dropin.{unit}"]
        assert text.startswith("[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -")
        assert "-o PermitRootLogin=prohibit-password" in text
    assert KEY in made["ssh.authorized_keys.root"]


def test_a_shell_brings_its_own_unit_and_no_key() -> None:
    made = told(Way.SHELL)
    assert "/dev/virtio-ports/pipeline.gate" in made["systemd.extra-unit.vm-gate-shell.service"]
    assert "vm-gate-shell.service" in made["systemd.unit-dropin.multi-user.target"]
    assert not any("AAAAC3Nza" in text for text in made.values())


@pytest.mark.parametrize("way", Way)
def test_other_files_go_along(way: Way) -> None:
    assert told(way, "f /etc/hosts - - - -\n")["tmpfiles.extra"].endswith("f /etc/hosts - - - -\n")


@pytest.mark.parametrize(
    ("ways", "tried", "refusal", "systemd", "wanted"),
    [
        (ALL, Way.KEY, Refusal.CLOSED, 257, Way.SERVER),
        (ALL, Way.KEY, Refusal.LOGIN, 257, Way.SERVER),
        (ALL, Way.KEY, Refusal.LOGIN, None, Way.SERVER),
        (ALL, Way.KEY, Refusal.NO_ANSWER, 257, Way.SHELL),
        (ALL, Way.SERVER, Refusal.CLOSED, 257, Way.SHELL),
        (ALL, Way.SHELL, Refusal.NO_ANSWER, 257, None),
        (ALL, Way.KEY, Refusal.CLOSED, 255, None),
        (ALL, Way.KEY, Refusal.SILENT, 257, None),
        ((Way.KEY,), Way.KEY, Refusal.CLOSED, 257, None),
        ((Way.KEY, Way.SHELL), Way.KEY, Refusal.CLOSED, 256, Way.SHELL),
    ],
)
def test_the_next_way_is_one_that_can_do_better(
    ways: tuple[Way, ...], tried: Way, refusal: Refusal, systemd: int | None, wanted: Way | None
) -> None:
    assert next_way(ways, tried, refusal, systemd) is wanted


@pytest.mark.parametrize(
    ("first", "listens", "routed", "finding"),
    [
        (Refusal.CLOSED, False, True, None),
        (Refusal.CLOSED, True, True, "something listens on port 22 and drops whoever connects"),
        (Refusal.LOGIN, True, True, None),
        (Refusal.NO_ANSWER, True, True, None),
        (Refusal.NO_ANSWER, True, False, "the guest has no network"),
    ],
)
def test_a_shell_makes_no_system_well_that_drops_its_users_or_has_no_network(
    first: Refusal, listens: bool, routed: bool, finding: str | None
) -> None:
    found = judge_ssh(Way.SHELL, first, "port 22 …", listens=listens, routed=routed)
    if finding is None:
        assert isinstance(found, Skipped)
        assert found.reason == "no-ssh"
    else:
        assert isinstance(found, Found)
        assert found.findings[0].startswith(finding)


def test_a_route_leads_out_by_an_interface_that_is_not_the_loopback() -> None:
    header = "Iface\tDestination\tGateway\tFlags\n"
    assert is_routed(header + "eth0\t00000000\t0202000A\t0003\n")
    assert not is_routed(header)
    assert not is_routed(header + "lo\t0000007F\t00000000\t0001\n")
