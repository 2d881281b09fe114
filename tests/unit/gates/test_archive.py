"""Reports out of a registry: whatever is in their place ends with an outcome, and leads nowhere else."""

import io
import tarfile
from pathlib import Path

import pytest

from pipeline.commands.packages import listed
from pipeline.errors import PreconditionError
from pipeline.gates import evidence


def packed(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 4) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, link, size if kind == tarfile.REGTYPE else 0
        archive.addfile(member, io.BytesIO(bytes(size)))
    return buffer.getvalue()


def test_a_report_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (evidence.extracted(packed("summary.md")) / "summary.md").read_bytes() == bytes(4)


@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"no archive",
        packed("a", size=100_000)[:60],
        packed("../outside"),
        packed("link", tarfile.SYMTYPE, "/etc"),
        packed("device", tarfile.CHRTYPE),
        packed("packages.txt", tarfile.LNKTYPE, "nowhere"),
        packed("a", size=30_000),
    ],
    ids=["nothing", "no archive", "cut", "outside", "link", "device", "link to nothing", "large"],
)
def test_what_no_gate_stores_is_refused(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evidence, "_UNPACKED", 20_000)
    with pytest.raises(PreconditionError, match="cannot be unpacked"):
        evidence.extracted(archive)
    assert not (tmp_path / "outside").exists()
    assert listed(archive) == {}
