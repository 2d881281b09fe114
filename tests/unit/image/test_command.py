"""The image gate as podman's container calls it."""

import json
from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter

from pipeline import config
from pipeline.domain import Channel
from pipeline.image import __main__ as command
from pipeline.policy.waivers import Waiver

CONFIG = """\
[images.os]
repository = "ghcr.io/owner/os"
[[waivers]]
check = "layout/empty-boot"
match = "extlinux"
bug = "https://example.org/1"
until = {today}
[[waivers]]
check = "layout/no-host-keys"
match = "."
bug = "https://example.org/2"
until = {today}
"""


@pytest.mark.parametrize("waived", [True, False])
def test_waivers_of_the_file_cover_their_finding_and_the_report_names_those_that_covered_none(
    tmp_path, monkeypatch, waived
):
    for name in ("usr/lib/modules/6.1/vmlinuz", "usr/lib/modules/6.1/initramfs.img", "boot/extlinux/extlinux.conf"):
        (tmp_path / "os" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "os" / name).write_text("x")

    async def mounted(_):
        return tmp_path / "os"

    async def labels(_):
        return {"containers.bootc": "1"}

    async def packages(*_, **__):
        return []

    for stand_in in (mounted, labels, packages):
        monkeypatch.setattr(command, stand_in.__name__, stand_in)
    known = config.parse(CONFIG.format(today=datetime.now(UTC).date())).waivers_in(Channel.NEXT) if waived else []
    told = TypeAdapter(list[Waiver]).dump_json(known).decode()
    arguments = ["image", "os", "--no-lint", "--waivers", told, "--report", str(tmp_path / "report")]
    monkeypatch.setattr("sys.argv", arguments)
    assert command.main() == (0 if waived else 1)
    result = json.loads((tmp_path / "report/result.json").read_text())
    status = {check["name"]: check["status"] for check in result["checks"]}
    assert status["layout/empty-boot"] == ("waived" if waived else "failed")
    unused = result["inputs"].get("waivers_unused", "")
    assert unused.startswith("layout/no-host-keys '.' until") is waived
