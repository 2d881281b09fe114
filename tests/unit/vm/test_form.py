"""A disk is converted once, if at all, into the form that is asked for; qemu-img is a stand-in."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.errors import GateFailed, InfrastructureError, UsageError
from pipeline.vm.form import Form, Seen, conversion, formed, look, main

RAW, PLAIN, ZLIB, ZSTD = (
    Seen("raw", "", ""),
    Seen("qcow2", "", ""),
    Seen("qcow2", "zlib", ""),
    Seen("qcow2", "zstd", ""),
)

QEMU_IMG = """#!/usr/bin/env python3
import json, pathlib, sys
kind, path = sys.argv[1], pathlib.Path(sys.argv[-1])
told = path.read_text() if path.exists() and kind != "convert" else ""
if kind == "info":
    if told == "text":
        sys.exit("qemu-img: not a disk")
    print(json.dumps({"format": told.split("-")[0], "format-specific": {"data": {"compression-type": told[6:]}}}))
elif kind == "check":
    if told == "raw":
        sys.exit(63)
    print("Leaked" if told == "qcow2-leaks" else "No errors were found on the image.")
    print(f"9/10 = 90% allocated, 0% fragmented, {100.0 if '-' in told else 0.0:.2f}% compressed clusters")
    sys.exit(3 if told == "qcow2-leaks" else 0)
elif kind == "measure":
    print(json.dumps({"required": NEEDED, "fully-allocated": 99}))
elif "FULL":
    path.write_text("half")
    sys.exit("qemu-img: error while writing: No space left on device")
else:
    path.write_text("qcow2-zstd" if "-c" in sys.argv else "qcow2")
"""


@pytest.fixture
def qemu_img(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def install(needed: int = 7, *, full: bool = False) -> None:
        program = tmp_path / "bin" / "qemu-img"
        program.parent.mkdir()
        program.write_text(QEMU_IMG.replace("NEEDED", str(needed)).replace('"FULL"', str(full)))
        program.chmod(0o755)
        python = Path(shutil.which("python3") or "").parent
        monkeypatch.setenv("PATH", f"{program.parent}:{python}:/usr/bin:/bin")

    return install


@pytest.mark.parametrize(
    ("form", "seen", "expected"),
    [
        (Form.QCOW2, PLAIN, None),
        (Form.QCOW2, ZLIB, "convert -f qcow2 -O qcow2 -m 4"),
        (Form.QCOW2, RAW, "convert -f raw -O qcow2 -m 4"),
        (Form.ZSTD, ZSTD, None),
        (Form.ZSTD, ZLIB, "convert -f qcow2 -O qcow2 -c -o compression_type=zstd -W -m 4"),
        (Form.ZSTD, PLAIN, "convert -f qcow2 -O qcow2 -c -o compression_type=zstd -W -m 4"),
        (Form.AS_BUILT, ZLIB, None),
        (Form.AS_BUILT, PLAIN, None),
    ],
)
def test_only_another_form_is_converted_and_only_compressed_clusters_in_any_order(form, seen, expected):
    how = conversion(form, seen, 4)
    assert how == (expected.split() if expected else None)


def test_no_more_processors_are_asked_for_than_qemu_img_takes():
    assert (conversion(Form.QCOW2, RAW, 64) or [])[-1] == "16"


def test_a_raw_disk_as_built_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match=r"format raw.*Leave form out"):
        conversion(Form.AS_BUILT, RAW, 2)


@pytest.mark.parametrize(("built", "form"), [("qcow2-zlib", "qcow2"), ("raw", "qcow2-zstd"), ("qcow2", "qcow2-zstd")])
def test_what_was_converted_says_of_what_and_what_it_is_now(qemu_img, tmp_path: Path, built: str, form: str):
    qemu_img()
    source, target = tmp_path / "built", tmp_path / "disk"
    source.write_text(built)
    done = formed(source, Form(form), target)
    assert done.converted
    assert (done.built, done.form, done.size, target.read_text()) == (built, form, len(form), form)
    assert done.inputs()["disk form"].startswith(f"{form} of {built} (")
    assert done.check == "No errors were found on the image."


def test_what_has_the_form_stays_the_file_that_was_built(qemu_img, tmp_path: Path):
    qemu_img()
    (tmp_path / "built").write_text("qcow2")
    done = formed(tmp_path / "built", Form.QCOW2, tmp_path / "disk")
    assert not done.converted
    assert done.inputs()["disk form"] == "qcow2"
    assert not (tmp_path / "disk").exists()


def test_a_damaged_disk_is_a_verdict_and_no_disk_is_usage(qemu_img, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    qemu_img()
    (tmp_path / "leaks").write_text("qcow2-leaks")
    with pytest.raises(GateFailed, match="finds the new disk damaged: Leaked"):
        look(tmp_path / "leaks")
    (tmp_path / "text").write_text("text")
    assert main([str(tmp_path / "text"), "--to", str(tmp_path / "disk")]) == 2
    assert "no disk that qemu-img reads" in capsys.readouterr().err


def test_a_full_disk_is_an_outage_with_numbers_before_and_while_it_is_converted(
    qemu_img, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    qemu_img(needed=3 << 30, full=True)
    source, target = tmp_path / "built", tmp_path / "disk"
    source.write_text("raw")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    with pytest.raises(InfrastructureError, match=r"needs 3\.0 GiB .* 1\.0 GiB were free"):
        formed(source, Form.QCOW2, target)
    assert not target.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4 << 30))
    with pytest.raises(InfrastructureError, match=r"needs 3\.0 GiB"):
        formed(source, Form.QCOW2, target)
    assert not target.exists()


def test_the_answer_is_one_line_of_json(qemu_img, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    qemu_img()
    (tmp_path / "built").write_text("raw")
    assert main([str(tmp_path / "built"), "--to", str(tmp_path / "disk")]) == 0
    assert json.loads(capsys.readouterr().out)["form"] == "qcow2"
