"""SSH is noticed as soon as it answers, the guest keeps no trace of that, and what stood in the way is remembered."""

import time

import anyio
import pytest

from pipeline.vm import knock as under_test
from pipeline.vm.guest import Key
from pipeline.vm.knock import NO_ANSWER, Knock, Outlook

from .slirp_and_sshd import KEPT, SECOND, Guest, running

SOON = 5 * SECOND
"""A second, and what a busy machine may take to make and answer a connection ten times as fast."""


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PACE", "REFUSED", "GLANCE", "GIVEN_UP", "SWALLOWED"):
        monkeypatch.setattr(under_test, name, getattr(under_test, name) * SECOND)


@pytest.fixture
def guest() -> Guest:
    return Guest(Key.generate())


class Boots:
    """A guest that gets its network and its SSH server at these seconds."""

    def __init__(self, guest: Guest, network: float, sshd: float, *, talks: bool = False) -> None:
        self._guest, self._network, self._sshd, self._talks = guest, network, sshd, talks
        self.told, self.up = False, 0.0

    async def boot(self) -> None:
        await anyio.sleep(self._network * SECOND)
        self._guest.network = True
        await anyio.sleep((self._sshd - self._network) * SECOND)
        self._guest.sshd, self.up = True, time.monotonic()
        self.told = self._talks


async def knocked(guest: Guest, boots: Boots, *, patience: float = 30, within: float = 120) -> Knock:
    """Knock until the guest lets us in, then let everything that is under way arrive."""
    async with running(guest) as network, anyio.create_task_group() as group:
        group.start_soon(boots.boot)
        knock = Knock(guest.key, Outlook(guest.established, lambda: boots.told, patience * SECOND))
        with anyio.move_on_after(within * SECOND):
            opened = await knock.until_open(network.ssh, network.idle)
            assert await opened.out("uname", "-r") == "uname -r"
            await anyio.sleep(13 * SECOND)
            await opened.close()
        group.cancel_scope.cancel()
    return knock


@pytest.mark.parametrize(("network", "sshd"), [(0, 0), (3, 9), (20, 20), (20, 35)])
async def test_a_guest_with_a_network_is_noticed_within_a_second_and_nothing_is_left_behind(
    guest: Guest, network: float, sshd: float
) -> None:
    boots = Boots(guest, network, sshd)
    await knocked(guest, boots, patience=300)
    assert guest.admitted - boots.up < SOON
    assert (guest.dead, guest.refusals) == (0, 0)


async def test_behind_a_firewall_the_console_tells_when(guest: Guest) -> None:
    guest.firewall = True
    boots = Boots(guest, 20, 25, talks=True)
    await knocked(guest, boots, patience=300)
    assert guest.admitted - boots.up < SOON + 2 * SECOND
    assert guest.dead == 0


async def test_behind_a_firewall_and_without_a_console_patience_ends(guest: Guest) -> None:
    guest.firewall = True
    boots = Boots(guest, 20, 25)
    await knocked(guest, boots, patience=10)
    assert guest.admitted - boots.up < 14 * SECOND
    assert guest.dead == 0


async def test_what_was_begun_too_early_is_waited_for_and_logs_in(guest: Guest) -> None:
    """Whatever sign of life comes meanwhile: QEMU delivers at its next try."""
    boots = Boots(guest, 10, 11, talks=True)
    await knocked(guest, boots, patience=2)
    assert guest.admitted - boots.up < 12 * SECOND
    assert guest.dead == 0


async def test_whoever_is_refused_for_a_while_waits_it_out(guest: Guest) -> None:
    guest.network = guest.sshd = True
    guest.refused_until = time.monotonic() + 15 * SECOND
    await knocked(guest, Boots(guest, 0, 0))
    assert guest.admitted
    assert guest.dead == 0


async def test_a_hasty_knocking_is_what_the_stand_in_counts(guest: Guest) -> None:
    async with running(guest) as network:
        for _ in range(30):
            await (await anyio.connect_tcp("127.0.0.1", network.ssh)).aclose()
        guest.network = guest.sshd = True
        await anyio.sleep(13 * SECOND)
        assert guest.dead + guest.refusals == 30


async def test_a_server_that_refuses_the_key_is_told_apart_and_not_asked_every_second(guest: Guest) -> None:
    guest.network = guest.sshd = True
    async with running(guest) as network:
        knock = Knock(Key.generate(), Outlook(guest.established))
        with anyio.move_on_after(12 * SECOND):
            await knock.until_open(network.ssh, network.idle)
    assert knock.problem.startswith("SSH answers and refuses us: Permission denied")
    assert guest.dead <= 4


async def test_a_guest_where_no_server_listens_is_told_apart(guest: Guest) -> None:
    guest.network = True
    knock = await knocked(guest, Boots(guest, 0, 999), within=5)
    assert "without an SSH banner" in knock.problem


async def test_a_guest_without_a_network_is_told_apart_also_when_qemu_gives_up(guest: Guest) -> None:
    knock = await knocked(guest, Boots(guest, 999, 999), patience=0, within=KEPT / SECOND + 10)
    assert knock.problem == NO_ANSWER


async def test_a_silent_server_that_took_the_connection_is_waited_for() -> None:
    async def taken() -> bool:
        return True

    connections = 0

    async def handle(stream: anyio.abc.SocketStream) -> None:
        nonlocal connections
        connections += 1
        await anyio.sleep_forever()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        knock = Knock(Key.generate(), Outlook(taken))
        with anyio.move_on_after(10 * SECOND):
            await knock.until_open(listener.extra(anyio.abc.SocketAttribute.local_port))
        group.cancel_scope.cancel()
    assert knock.problem == "port 22 accepts and sends no SSH banner"
    assert connections == 1
