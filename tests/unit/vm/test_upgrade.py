"""An upgrade and its way back, on a scripted guest: what is the candidate's fault and what is not."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain import Digest
from pipeline.policy.waivers import Waiver
from pipeline.report.model import Check, CheckStatus
from pipeline.vm.accelerator import Accelerator
from pipeline.vm.checks import reboot, services, system_state, units, upgrade
from pipeline.vm.checks.base import REPEATED, REPEATS, siblings
from pipeline.vm.console import Console
from pipeline.vm.guest import Answer
from pipeline.vm.session import Session
from pipeline.vm.spec import Spec, Upgrade
from pipeline.vm.verdict import Found, Waivers, judge

OLD, NEW = (Digest("sha256:" + digit * 64) for digit in "12")
REFERENCE = "ghcr.io/o/os:stable"
NO_SKOPEO = (
    "error: Upgrading composefs: Checking if image registry.example:5000/os:stable is pulled: Getting container info: "
    "skopeo spawn error: No such file or directory (os error 2)"
)
UNSIGNED = (
    "error: Upgrading: Pulling: Unencapsulating base: failed to invoke method OpenImage: Source image rejected: None "
    "of the signatures were accepted, reasons: Signature for identity ghcr.io/o/os:testing is not accepted"
)
UNIT = "systemd-remount-fs.service"


class Machine:
    """Has a console and is never dead."""

    dead = None

    def __init__(self, folder: Path) -> None:
        self.console = Console(folder / "console.log", lambda: 0.0, lambda _: None, lambda _: None)


class Guest:
    """A system with two deployments; what fails in each of them is given."""

    def __init__(
        self, failing: dict[str, list[str]], upgrade_error: str = "", stable_error: str = "", registries: str = ""
    ) -> None:
        self.registries = registries
        self.booted, self.queued = str(OLD), ""
        self.failing, self.upgrade_error, self.stable_error = failing, upgrade_error, stable_error
        self.files = dict.fromkeys(upgrade.SENTINELS, "")
        self.asked: list[tuple[str, ...]] = []

    @property
    def name(self) -> str:
        return "old" if self.booted == OLD else "new"

    async def has(self, program: str) -> bool:
        return True

    async def out(self, *command: str, within: float = 60) -> str:
        return (await self.run(*command)).out.strip()

    async def run(self, *command: str, within: float = 60, stdin: bytes = b"") -> Answer:
        self.asked.append(command)
        failing = self.failing.get(self.name, [])
        match command:
            case ("bootc", "status", *_):
                return Answer(0, json.dumps({"status": self._status()}), "")
            case ("bootc", "upgrade", *rest):
                return self._upgrade(check="--check" in rest)
            case ("bootc", "rollback"):
                self.queued = str(OLD)
            case ("systemctl", "list-units", *_):
                return Answer(0, json.dumps([{"unit": unit} for unit in failing]), "")
            case ("systemctl", "is-active", *names):
                return Answer(0, "\n".join("failed" if name in failing else "active" for name in names), "")
            case ("journalctl", *_):
                return Answer(0, "[1.0] a systemd[1]: well", "")
            case ("uname", *_):
                return Answer(0, "6.1", "")
            case ("sh", "-c", script, *_) if "vmlinuz" in script:
                return Answer(0, "6.1/vmlinuz", "")
            case ("sh", "-c", upgrade.attachments.FILES):
                return Answer(0, self.registries, "")
            case ("sh", "-c", _, "write", path):
                self.files[path] = stdin.decode()
            case ("cat", path):
                return Answer(0, self.files.get(path, ""), "")
        return Answer(0, "", "")

    def _upgrade(self, *, check: bool) -> Answer:
        if self.name == "new":
            return Answer(1, "", self.upgrade_error) if self.upgrade_error else Answer(0, "No changes", "")
        if self.stable_error:
            return Answer(1, "", self.stable_error)
        self.queued = "" if check else str(NEW)
        return Answer(0, "", "")

    def _status(self) -> dict[str, Any]:
        def entry(digest: str) -> dict[str, Any]:
            return {"image": {"imageDigest": digest, "image": {"image": REFERENCE, "transport": "registry"}}}

        new = self.name == "new"
        return {
            "booted": entry(self.booted),
            "staged": entry(NEW) if self.queued == NEW and not new else None,
            "rollback": entry(OLD) if new else None,
            "rollbackQueued": new and self.queued == OLD,
        }


class Upgrading(Session):
    """A session whose reboot is done at once."""

    async def reboot(self) -> None:
        guest: Any = self.guest
        guest.booted, guest.queued = guest.queued, ""
        self.state = "degraded" if guest.failing.get(guest.name) else "running"


def session(folder: Path, guest: Guest, **spec: Any) -> Upgrading:
    wanted = Upgrade(reference=REFERENCE, layout=Path("/candidate"), digests=(NEW,))
    machine: Any = Machine(folder)
    made = Upgrading(
        Spec(upgrade=wanted, **spec), machine, Accelerator("kvm", "", 1), None, folder, lambda _: None  # type: ignore[arg-type]
    )  # fmt: skip
    made._guest = guest  # type: ignore[assignment]
    made.state = "degraded" if guest.failing.get("old") else "running"
    made.ready, made.settled = [0.0], [0.0]
    return made


def waivers(*known: str) -> Waivers:
    return Waivers([Waiver(check="units", match=text, bug="b", until=date(2099, 1, 1)) for text in known], date.today())


async def both(made: Upgrading, *known: str) -> tuple[Check, Check]:
    there, back = [
        judge(check.names, await check.look(made), waivers(*known), frozenset())
        for check in (upgrade.CHECK, upgrade.ROLLBACK)
    ]
    return there, back


async def test_a_unit_that_failed_in_stable_before_is_not_the_candidates_fault_on_the_way_back(tmp_path: Path) -> None:
    there, back = await both(session(tmp_path, Guest({"old": [UNIT]})))
    assert (there.status, back.status) == (CheckStatus.PASSED, CheckStatus.PASSED)


async def test_a_unit_that_fails_in_the_candidate_is_its_fault(tmp_path: Path) -> None:
    there, _ = await both(session(tmp_path, Guest({"new": [UNIT]})))
    assert there.status is CheckStatus.FAILED
    assert f"system-state: degraded by {UNIT}; units: {UNIT} failed" in there.reason


async def test_a_configured_service_is_looked_at_after_the_upgrade(tmp_path: Path) -> None:
    there, _ = await both(session(tmp_path, Guest({"new": ["app.service"]}), services=["app.service"]))
    assert "services: app.service is failed" in there.output


async def test_the_console_of_the_candidates_boot_is_judged_and_that_of_stables_is_not(tmp_path: Path) -> None:
    made = session(tmp_path, Guest({}))
    made.machine.console.feed(b"[ 1.0] Oops: 0000 [#1] PREEMPT SMP NOPTI\n")
    assert (await both(made))[0].status is CheckStatus.PASSED


async def test_a_candidate_that_cannot_upgrade_any_more_is_stopped(tmp_path: Path) -> None:
    guest = Guest({}, upgrade_error=NO_SKOPEO)
    there, back = await both(session(tmp_path, guest))
    assert there.status is CheckStatus.FAILED
    assert there.reason.startswith(f"`bootc upgrade --check` on the candidate exits 1: {NO_SKOPEO}")
    assert back.status is CheckStatus.PASSED
    assert guest.asked.count(("rm", "-f", upgrade.relay.DROP_IN, upgrade.attachments.DROP_IN)) == 2


async def test_a_stable_that_refuses_by_its_own_policy_is_no_failure_and_no_pass(tmp_path: Path) -> None:
    guest = Guest({}, stable_error=UNSIGNED)
    there, back = await both(session(tmp_path, guest))
    assert (there.status, back.status) == (CheckStatus.SKIPPED, CheckStatus.SKIPPED)
    assert not any(one.lets_through for one in (there, back))  # unless it is listed
    for check in (there, back):
        assert "asks for a signature for ghcr.io/o/os:stable" in check.reason
        assert "Signature for identity ghcr.io/o/os:testing is not accepted" in check.reason
    assert not [path for path in guest.files if "policy" in path]


async def test_a_stable_that_looks_for_signatures_looks_for_them_in_the_relay_and_nowhere_else_later(
    tmp_path: Path,
) -> None:
    guest = Guest({}, registries="---\ndocker:\n  ghcr.io/o/os:\n    use-sigstore-attachments: true\n")
    await both(session(tmp_path, guest))
    assert "10.0.2.100:5000" in guest.files[upgrade.attachments.DROP_IN]
    guest = Guest({})
    await both(session(tmp_path, guest))
    assert upgrade.attachments.DROP_IN not in guest.files


async def test_whether_a_candidate_upgrades_that_refuses_itself_by_its_own_policy_stays_open(tmp_path: Path) -> None:
    """It may be that its signature is made with the release, or that its policy names a key of nobody."""
    there, back = await both(session(tmp_path, Guest({}, upgrade_error=UNSIGNED)))
    assert (there.status, back.status) == (CheckStatus.SKIPPED, CheckStatus.PASSED)
    assert "the candidate's own policy.json" in there.reason
    assert not there.lets_through


async def test_one_waiver_of_a_unit_holds_wherever_its_failure_is_repeated(tmp_path: Path) -> None:
    both_fail = Guest({"old": [UNIT], "new": [UNIT]})
    there, back = await both(session(tmp_path, both_fail), f"^{UNIT} failed$|degraded by {UNIT}")
    assert (there.status, back.status) == (CheckStatus.WAIVED, CheckStatus.PASSED)


@pytest.mark.parametrize(
    "check", [units.CHECK, system_state.CHECK, services.CHECK, reboot.CHECK, upgrade.CHECK, upgrade.ROLLBACK]
)
def test_one_waiver_covers_the_finding_in_every_check(check: Any) -> None:
    finding = Found([f"units: {UNIT} failed"])
    assert judge(check.names, finding, waivers(UNIT), frozenset()).status is CheckStatus.WAIVED


def test_every_check_that_is_asked_again_has_its_waivers_in_all_that_repeat_it() -> None:
    assert {check.name for check in reboot.AGAIN} == set(REPEATED)
    for repeats in REPEATS:
        assert set(REPEATED) <= set(siblings(repeats))


def test_figures_make_no_new_finding() -> None:
    known = ["journal: out of memory: [  12.1] x invoked oom-killer: order=0 (2 times)"]
    assert upgrade.beyond(["journal: out of memory: [ 9.73] x invoked oom-killer: order=0"], known) == []
    assert upgrade.beyond(["units: a failed"], known) == ["units: a failed"]


@pytest.mark.parametrize("status", ["[]", '{"status": {"booted": "x"}}', '{"status": {"booted": {"image": ["x"]}}}'])
def test_a_status_of_another_shape_has_no_digest(status: str) -> None:
    host = json.loads(status)
    assert not isinstance(host, dict) or upgrade.digests(host)["booted"] is None
