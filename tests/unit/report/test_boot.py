"""The boot chart shows what was measured, and says what was only seen."""

from pathlib import Path, PurePath

import pytest

from pipeline.report import boot
from pipeline.report.artefacts import collect
from pipeline.report.model import Phase
from pipeline.report.page import page

UEFI = (
    "$ systemd-analyze time\n"
    "Startup finished in 5.625s (firmware) + 289ms (loader) + 1.144s (kernel) + 1min 2.5s (initrd) + 8.106s (userspace)"
    " = 1min 17.664s \ngraphical.target reached after 8.096s in userspace.\n"
)
"""Of the arm64 system of tests/contract/vm, an initrd put in by hand."""
NO_LOADER = "Startup finished in 1.669s (kernel) + 6.800s (userspace) = 8.469s \n"
SEEN = [
    Phase(name="firmware", start=0, end=4),
    Phase(name="kernel", start=4, end=6),
    Phase(name="ready", start=6, end=9),
]
HERE = PurePath("vm-x86_64/systemd-analyze.txt")


def rounded(found: boot.Boot | None) -> list[tuple[str, float, float]]:
    assert found
    return [(phase.name, round(phase.start, 3), round(phase.end, 3)) for phase in found.phases]


def test_all_that_systemd_measured_is_shown_in_a_row() -> None:
    found = boot.chart(HERE, UEFI, SEEN)
    assert rounded(found) == [
        ("firmware", 0.0, 5.625),
        ("loader", 5.625, 5.914),
        ("kernel", 5.914, 7.058),
        ("initrd", 7.058, 69.558),
        ("userspace", 69.558, 77.664),
    ]
    assert found
    assert (found.source, found.estimated) == (boot.BY_SYSTEMD, frozenset())


def test_firmware_that_systemd_does_not_know_is_estimated_and_marked() -> None:
    found = boot.chart(HERE, NO_LOADER, SEEN)
    assert rounded(found) == [("firmware and loader", 0.0, 4.0), ("kernel", 4.0, 5.669), ("userspace", 5.669, 12.469)]
    assert found
    assert (found.source, found.estimated) == (boot.BY_BOTH, {"firmware and loader"})


@pytest.mark.parametrize("said", ["", "Bootup is not yet finished.", "systemd-analyze: command not found"])
def test_a_boot_that_systemd_does_not_describe_is_the_consoles(said: str) -> None:
    found = boot.chart(HERE, said, SEEN)
    assert rounded(found) == [("firmware", 0.0, 4.0), ("kernel", 4.0, 6.0), ("ready", 6.0, 9.0)]
    assert found
    assert found.estimated == {"firmware", "kernel", "ready"}
    assert boot.chart(HERE, said, []) is None


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("vm-aarch64/systemd-analyze.txt", "aarch64/"),
        ("desktop/vm-aarch64/systemd-analyze.txt", "desktop: aarch64/"),
        ("desktop/vm-aarch64/systemd-analyze.txt", "desktop: "),
    ],
)
def test_each_machine_has_its_own_part_of_the_timeline(path: str, prefix: str) -> None:
    other = [Phase(name="server: x86_64/firmware", start=0, end=99)]
    mine = [phase.model_copy(update={"name": prefix + phase.name}) for phase in SEEN]
    assert rounded(boot.chart(PurePath(path), "", other + mine))[0] == ("firmware", 0.0, 4.0)


def test_the_page_shows_the_chart_and_marks_the_estimate(make, tmp_path: Path) -> None:
    (tmp_path / "vm-x86_64").mkdir()
    (tmp_path / HERE).write_text(NO_LOADER)
    text = page(make(timeline=SEEN), collect(tmp_path))
    assert "<h2>Boot <small>vm-x86_64: firmware and loader estimated" in text
    assert "firmware and loader <small>estimated</small>" in text
    assert text.count('class="estimated"') == 1
    assert "<h2>Boot" not in page(make(timeline=SEEN))
