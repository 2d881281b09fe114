"""What the checks make of what guests say; the answers are from real systems."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain import Digest
from pipeline.vm.accelerator import Accelerator
from pipeline.vm.checks import (
    ALL,
    against_stable,
    authorized_keys,
    boot_time,
    bootc,
    clock,
    console,
    disk_usage,
    kernel,
    listening,
    secure_boot,
    services,
    size,
    units,
    upgrade,
    usr,
)
from pipeline.vm.checks import of as asked
from pipeline.vm.rules import Reader, Where
from pipeline.vm.spec import Baseline, Budgets, Spec, Upgrade
from pipeline.vm.verdict import Found, Skipped

CAPTURES = Path(__file__).with_name("bootc")
V1 = "sha256:d344f56a6acd740adfa46e54199048f027ea589c2d64ba7fba2beeb525bd1b0f"
V2 = "sha256:b81e08fa7f34e698147276467b89d10c4971cefb54332fc7451ee2875b2427b9"
KVM = Accelerator("kvm", "", 1)


def test_check_names_are_unique() -> None:
    assert len({check.name for check in ALL}) == len(ALL)


def test_the_kernel_must_be_the_one_and_only() -> None:
    assert not kernel.compare("6.1.0-50", ["6.1.0-50"], "by the image").findings
    assert kernel.compare("6.1.0-50", ["9.9.9"], "by the image").findings == ["the running kernel is 6.1.0-50"]
    assert kernel.compare("6.1.0-50", ["6.1.0-49", "6.1.0-50"], "by the image").findings
    assert kernel.compare("6.1.0-50", [], "by the image").findings


def test_services_that_are_not_active_are_named_with_their_state() -> None:
    found = services.compare(
        {"sshd.service": "active", "a.service": "failed"}, ["sshd.service", "a.service", "b.service"]
    )
    assert found.findings == ["a.service is failed", "b.service is unknown"]


LINKS = """multi-user.target.wants/chronyd.service
multi-user.target.wants/once.service
graphical.target.wants/lost.service
multi-user.target.requires/lost.service
multi-user.target.wants/down.service
sleep.target.wants/asleep.service
multi-user.target.wants/masked.service
"""

SHOWN = """Id=asleep.service
LoadState=loaded
ActiveState=inactive
ConditionTimestampMonotonic=0

Id=chronyd.service
LoadState=loaded
ActiveState=active
ConditionTimestampMonotonic=1

Id=down.service
LoadState=loaded
ActiveState=failed
ConditionTimestampMonotonic=1

Id=graphical.target
LoadState=loaded
ActiveState=inactive

Id=alias.service
LoadState=loaded
ActiveState=inactive
ConditionTimestampMonotonic=0

Id=masked.service
LoadState=masked
ActiveState=inactive
ConditionTimestampMonotonic=0

Id=multi-user.target
LoadState=loaded
ActiveState=active

Id=once.service
LoadState=loaded
ActiveState=inactive
ConditionTimestampMonotonic=1

Id=sleep.target
LoadState=loaded
ActiveState=inactive"""


def test_what_the_image_enables_was_started_and_did_not_fail() -> None:
    links = services.read_links(LINKS)
    names = sorted({name for link in links for name in link})
    found = services.judge_enabled(links, dict(zip(names, services.read_units(SHOWN), strict=True)))
    assert found.findings == ["down.service is failed", "lost.service is enabled and was never started"]
    assert found.note == "2 enabled services were started"


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("starting\ncurl: (6) Could not resolve host: dl.flathub.org\nexit 6", True),
        ("Error: dl.flathub.org: Temporary failure in name resolution", True),
        ("connect: Network is unreachable", True),
        ("bash: /etc/nothing: No such file or directory", False),
        ("", False),
    ],
)
def test_a_unit_that_wanted_the_network_is_named_as_such(said: str, wanted: bool) -> None:
    assert ("gates.testing.network" in units.asked_for_network(said)) is wanted


@pytest.fixture(params=sorted(CAPTURES.glob("*.json")), ids=lambda path: path.stem)
def status(request: pytest.FixtureRequest) -> str:
    return str(request.param.read_text())


def test_every_recorded_bootc_status_is_understood(status: str) -> None:
    booted = json.loads(status)["status"]["booted"]["image"]
    assert bootc.judge_digest(status, booted["imageDigest"]) == Found(note=booted["imageDigest"])
    assert bootc.judge_origin(status, booted["image"]["image"]) == Found(note=booted["image"]["image"])


def test_the_image_of_an_index_is_as_good_as_the_index(status: str) -> None:
    booted = json.loads(status)["status"]["booted"]["image"]["imageDigest"]
    index = "sha256:" + "0" * 64
    assert bootc.judge_digest(status, index, booted) == Found(note=booted)
    assert isinstance(found := bootc.judge_digest(status, index, "sha256:" + "1" * 64), Found)
    assert found.findings


def test_a_wrong_digest_and_a_wrong_origin_say_found_and_expected(status: str) -> None:
    other = "sha256:" + "0" * 64
    digest = bootc.judge_digest(status, other)
    assert isinstance(digest, Found)
    assert digest.findings
    assert digest.expected == other
    origin = bootc.judge_origin(status, "ghcr.io/other/image:stable")
    assert isinstance(origin, Found)
    assert origin.findings[0].startswith("updates come from 10.0.2.2:5055/bootcreal")


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("error: this command requires root", "not JSON"),
        ('{"apiVersion": "org.containers.bootc/v9", "kind": "BootcHost"}', "v9"),
        ('{"apiVersion": "org.containers.bootc/v1", "kind": "BootcHost", "status": {"booted": null}}', "not booted"),
    ],
)
def test_a_status_that_proves_nothing_fails(document: str, problem: str) -> None:
    found = bootc.judge_digest(document, V1)
    assert isinstance(found, Found)
    assert problem in found.findings[0]


def test_the_older_schema_is_understood() -> None:
    image = {"imageDigest": V1, "image": {"image": "quay.io/a/b:stable", "transport": "registry"}}
    document = {
        "apiVersion": "org.containers.bootc/v1alpha1",
        "kind": "BootcHost",
        "status": {"booted": {"image": image}},
    }
    assert bootc.judge_digest(json.dumps(document), V1) == Found(note=V1)


@pytest.mark.parametrize(
    ("arguments", "promised"),
    [
        ("initrd=\\EFI rw composefs=76ba62e5 console=ttyS0", True),
        ("BOOT_IMAGE=(hd0,gpt3)/vmlinuz root=UUID=5b8e rw ostree=/ostree/boot.1/default/ab/0", True),
        ("root=PARTUUID=5b8e rw console=ttyS0", False),
        ("root=PARTUUID=5b8e rw systemd.setenv=composefs_note", False),
    ],
)
def test_usr_is_promised_by_the_kind_of_deployment(arguments: str, promised: bool) -> None:
    assert usr.promises(arguments) is promised


TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9153 1 ffff8 100 0 0 10 0
   1: 0100007F:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9154 1 ffff8 100 0 0 10 0
   2: 0F02000A:0016 0202000A:9C40 01 00000000:00000000 02:000A9E5B 00000000     0        0 9200 2 ffff8 20 4 30 10 -1
"""
TCP6 = """  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   1: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   2: 0000000000000000FFFF00000100007F:0278 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
"""
UDP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref
  10: 0F02000A:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000   998        0 8951 2 ffff8 0
"""


def test_sockets_that_listen_beyond_loopback_are_found() -> None:
    assert listening.sockets("tcp", TCP) == {"tcp/22"}
    assert listening.sockets("tcp", TCP6) == {"tcp/8080"}
    assert listening.sockets("udp", UDP) == {"udp/68"}


def test_sockets_outside_the_list_are_named_and_the_list_is_shown() -> None:
    found = listening.compare({"tcp/22", "tcp/8080", "udp/68"}, ["tcp/22"])
    assert found.findings == ["tcp/8080 listens", "udp/68 listens"]
    assert found.expected == "only tcp/22"


DF = """Filesystem     Type     1024-blocks   Used Available Capacity Mounted on
/dev/nvme0n1p2 ext4          544672 541672      3000     100% /
composefs      overlay        10000  10000         0     100% /usr
/dev/nvme0n1p2 ext4          544672 541672      3000     100% /var
tmpfs          tmpfs         399388    520    398868       1% /run
/dev/vda1      vfat           65390   9000     56390      14% /boot/efi
"""


def test_lines_that_differ_in_numbers_only_are_one_finding() -> None:
    lines = [f"[ {n}.5] flap.service: Scheduled restart job, restart counter is at {n}." for n in range(5, 30)]
    matches = [match for line in lines for match in Reader(Where.JOURNAL).read(line)]
    found = console.summarise(matches, "a clean journal", KVM)
    assert found.findings == [f"unit restarts too often: {lines[0].strip()} (25 times)"]


def test_warnings_fail_nothing_and_are_shown() -> None:
    found = console.summarise(Reader(Where.JOURNAL).read("app[1]: Traceback (most recent call last):"), "", KVM)
    assert not found.findings
    assert "Traceback" in found.output


def test_a_lockup_fails_on_the_processor_itself_and_is_a_warning_under_emulation() -> None:
    matches = Reader(Where.JOURNAL).read("watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [kworker/0:1:21]")
    assert console.summarise(matches, "", KVM).findings
    emulated = console.summarise(matches, "", Accelerator("tcg", "", 5))
    assert not emulated.findings
    assert "soft lockup" in emulated.output


def test_a_full_disk_is_named_once_and_images_that_are_full_by_nature_are_not() -> None:
    found = disk_usage.judge_usage(disk_usage.usages(DF), [], 90)
    assert found.findings == ["/ is 100 % full"]
    assert found.note == "/ 100 %, /boot/efi 14 %"


def test_a_clock_may_lag_by_seconds_and_not_by_years() -> None:
    assert not clock.judge_clock(1_000_000, 1_000_030).findings
    assert clock.judge_clock(0, 1_000_000).findings == ["the guest's clock is -1000000 s off"]


OURS = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOurs gate"


def test_the_gates_own_key_is_no_finding_and_anybody_elses_is() -> None:
    listed = f"/root/.ssh/authorized_keys {OURS}\n/root/.ssh/authorized_keys # a comment\n"
    assert not authorized_keys.judge_keys(listed, OURS).findings
    listed += '/home/core/.ssh/authorized_keys no-pty,from="10.0.0.0/8" ssh-rsa AAAAB3Nza builder@ci\n'
    assert authorized_keys.judge_keys(listed, OURS).findings == [
        "/home/core/.ssh/authorized_keys has the key builder@ci"
    ]


def test_boot_time_is_measured_against_a_budget_that_emulation_stretches() -> None:
    assert isinstance(boot_time.judge_time(53, None, 5, ""), Skipped)
    slow = boot_time.judge_time(53, 30, 1, "Startup finished in 28.7s")
    assert isinstance(slow, Found)
    assert slow.findings == ["start-up took 53s from power on (Startup finished in 28.7s)"]
    assert boot_time.judge_time(53, 30, 5, "") == Found(note="53s from power on; budget 30s times 5 for emulation")


def recorded(name: str) -> dict[str, Any]:
    return upgrade.read_status(next(CAPTURES.glob(f"status-{name}.json")).read_text(), "")


REFERENCE = "10.0.2.2:5055/bootcreal:latest"
TO_V2 = Upgrade(reference=REFERENCE, layout=Path("/candidate"), digests=("sha256:" + "0" * 64, Digest(V2)))


def test_a_recorded_upgrade_and_rollback_are_understood() -> None:
    installed, staged, upgraded = recorded("1-installed"), recorded("2-staged"), recorded("3-upgraded")
    assert upgrade.digests(staged) == {"booted": V1, "staged": V2, "rollback": None}
    assert upgrade.follows(installed) == REFERENCE
    assert not upgrade.judge_upgrade(installed, upgraded, TO_V2, [], []).findings
    assert not upgrade.is_queued(upgraded)
    assert upgrade.is_queued(recorded("4-rollback-queued"))
    assert not upgrade.judge_rollback(upgraded, recorded("5-rolledback"), [], []).findings


def test_an_upgrade_that_did_not_happen_or_lost_something_is_told() -> None:
    installed, upgraded = recorded("1-installed"), recorded("3-upgraded")
    assert upgrade.judge_upgrade(installed, installed, TO_V2, [], []).findings[0] == f"after the upgrade {V1} is booted"
    assert upgrade.judge_upgrade(installed, upgraded, TO_V2, ["/var/x"], ["units: a.service failed"]).findings == [
        "/var/x is lost",
        "units: a.service failed",
    ]
    assert upgrade.judge_rollback(upgraded, upgraded, [], []).findings == [f"after the rollback {V2} is booted"]


def test_an_upgrade_that_leads_away_from_the_update_reference_is_told() -> None:
    switched = recorded("8-switched")
    wanted = Upgrade(reference=REFERENCE, layout=Path("/candidate"), digests=(upgrade.digests(switched)["booted"],))
    (said,) = upgrade.judge_upgrade(recorded("7-switch-staged"), switched, wanted, [], []).findings
    assert said == f"after the upgrade updates come from 10.0.2.2:5055/bootcreal:v3 and not from {REFERENCE}"


@pytest.mark.parametrize("text", ["", "error: boom", "[]", '{"kind": "BootcHost"}', '{"status": null}'])
def test_a_status_that_cannot_be_read_is_said_with_what_bootc_said(text: str) -> None:
    with pytest.raises(upgrade.NoStatus, match="exits 1"):
        upgrade.read_status(text, "`bootc status --json` exits 1: boom")


def test_secure_boot_is_believed_when_the_variable_or_the_kernel_says_so() -> None:
    on, off = "   6   0   0   0   1", "   6   0   0   0   0"
    assert not secure_boot.judge_variable(on, "").findings
    assert secure_boot.judge_variable(off, "secureboot: Secure boot enabled").findings
    assert not secure_boot.judge_variable("", "[ 0.0] secureboot: Secure boot enabled").findings
    assert secure_boot.judge_variable("", "[ 0.0] secureboot: Secure boot disabled").findings


MIB = 1 << 20
PHASES = {"firmware": 4.0, "kernel": 2.0, "userspace": 6.0, "ready": 0.0}
STABLE = Baseline(name="0123456789ab", accelerator="kvm", phases=PHASES, image_size=100 * MIB, disk_size=400 * MIB)


def test_sizes_are_measured_against_their_budgets() -> None:
    assert isinstance(size.judge_size(90 * MIB, 400 * MIB, Budgets()), Skipped)
    fits = size.judge_size(90 * MIB, 400 * MIB, Budgets(image_size=90 * MIB))
    assert isinstance(fits, Found)
    assert not fits.findings
    assert fits.note == "image 90 MiB, disk 400 MiB; at most 90 MiB for the image"
    large = size.judge_size(90 * MIB, 400 * MIB, Budgets(image_size=80 * MIB, disk_size=399 * MIB))
    assert isinstance(large, Found)
    assert [finding.split(" (")[0] for finding in large.findings] == [
        "the image has 90 MiB",
        "the disk has 400 MiB",
    ]


def test_a_budget_for_a_size_that_nobody_knows_is_not_kept() -> None:
    unknown = size.judge_size(None, MIB, Budgets(image_size=MIB))
    assert isinstance(unknown, Found)
    assert unknown.findings == ["the size of the image is not known"]


def test_both_boots_stand_side_by_side_and_only_the_whole_is_judged() -> None:
    found = against_stable.judge_boot({"firmware": 4.0, "kernel": 6.0, "userspace": 5.0}, "kvm", STABLE, 50)
    assert isinstance(found, Found)
    assert not found.findings
    assert found.note == "boot 15s, stable's 12s (+25%); limit +50%"
    assert [line.split()[:4] for line in found.output.splitlines()[1:3]] == [
        ["boot", "15s", "12s", "+25%"],
        ["firmware", "4.0s", "4.0s", "+0%"],
    ]
    slower = against_stable.judge_boot({"firmware": 12.0, "kernel": 6.0}, "kvm", STABLE, 25)
    assert isinstance(slower, Found)
    assert slower.findings == ["boot 18s, stable's 12s (+50%)"]


@pytest.mark.parametrize(
    ("accelerator", "stable", "reason"),
    [
        ("kvm", None, "first-release"),
        ("tcg", STABLE, "other-accelerator"),
        ("tcg", STABLE.model_copy(update={"accelerator": "tcg"}), "other-accelerator"),
        ("kvm", STABLE.model_copy(update={"accelerator": "tcg"}), "other-accelerator"),
        ("kvm", Baseline(name="0123456789ab", image_size=1), "no-stable-evidence"),
    ],
)
def test_boots_that_cannot_be_compared_are_skipped(accelerator: str, stable: Baseline | None, reason: str) -> None:
    found = against_stable.judge_boot(PHASES, accelerator, stable, 50)
    assert isinstance(found, Skipped)
    assert found.reason == reason


def test_image_and_disk_may_grow_a_little() -> None:
    assert isinstance(against_stable.judge_growth(MIB, MIB, None, 25), Skipped)
    assert isinstance(against_stable.judge_growth(None, MIB, Baseline(name="x"), 25), Skipped)
    fine = against_stable.judge_growth(110 * MIB, 380 * MIB, STABLE, 25)
    assert isinstance(fine, Found)
    assert fine.note == "image 110 MiB, stable's 100 MiB (+10%); disk 380 MiB, stable's 400 MiB (-5%); limit +25%"
    large = against_stable.judge_growth(110 * MIB, 600 * MIB, STABLE, 25)
    assert isinstance(large, Found)
    assert large.findings == ["disk 600 MiB, stable's 400 MiB (+50%)"]


def test_a_comparison_is_advice_until_it_is_required() -> None:
    assert not asked(Spec(), ["boot-time-change"])[0].required
    assert asked(Spec(required=frozenset({"boot-time-change"})), ["boot-time-change"])[0].required
