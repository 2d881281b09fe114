import json
from pathlib import Path

from pipeline.domain import Outcome
from pipeline.report.artefacts import collect
from pipeline.report.files import write_report
from pipeline.report.model import Result


def _logs(directory: Path) -> Path:
    (directory / "vm").mkdir()
    (directory / "vm" / "serial.log").write_bytes(
        b"\x1b[1mlong ago\x1b[0m\r\n" + b"line\r\n" * 200 + b"login: \xff\r\n"
    )
    (directory / "vm" / "screen.png").write_bytes(b"\x89PNG")
    (directory / "vm" / 'odd "name<.txt').write_text("x")
    return directory


def test_four_files_are_written_beside_the_logs(make, failed, tmp_path: Path) -> None:
    result = make(Outcome.GATE_FAILED, failed)
    write_report(result, _logs(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "summary.md", "junit.xml", "report.html", "vm"}
    assert Result.model_validate_json((tmp_path / "result.json").read_text()) == result
    page = (tmp_path / "report.html").read_text()
    assert "data:image/png;base64,iVBORw==" in page
    assert 'href="vm/odd%20%22name%3C.txt"' in page


def test_result_json_has_what_machines_ask_for(make, failed, tmp_path: Path) -> None:
    write_report(make(Outcome.GATE_FAILED, failed), tmp_path / "new")
    document = json.loads((tmp_path / "new" / "result.json").read_text())
    assert (document["outcome"], document["exit_code"]) == ("gate_failed", 1)
    assert document["checks"][0]["name"] == "units"
    assert document["plan"][1]["old"] == "sha256:" + "b" * 64


def test_every_file_ends_its_last_line(make, tmp_path: Path) -> None:
    write_report(make(), tmp_path)
    assert all(path.read_text().endswith("\n") for path in tmp_path.iterdir())


def test_writing_twice_gives_the_same_files(make, tmp_path: Path) -> None:
    first = [write_report(make(), _logs(tmp_path)), {path: path.read_bytes() for path in tmp_path.glob("*.*")}][1]
    write_report(make(), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.*")} == first


def test_a_console_is_its_last_lines_without_control_characters(tmp_path: Path) -> None:
    (console,) = collect(_logs(tmp_path)).consoles
    assert console.name == "vm/serial.log"
    assert "long ago" not in console.text
    assert console.text.endswith("login: \N{REPLACEMENT CHARACTER}")


def test_a_picture_that_is_too_large_is_listed_and_not_embedded(tmp_path: Path) -> None:
    with (tmp_path / "huge.png").open("wb") as stream:
        stream.truncate(3 * 1024**2)
    found = collect(tmp_path)
    assert [file.path.name for file in found.files] == ["huge.png"]
    assert found.screenshots == ()


def test_results_of_the_parts_are_listed_and_the_reports_own_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "vm").mkdir()
    for path in (tmp_path / "result.json", tmp_path / "vm" / "result.json"):
        path.write_text("{}")
    assert [file.href for file in collect(tmp_path).files] == ["vm/result.json"]
