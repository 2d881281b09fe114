from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.upload.__main__ import main, open_store
from pipeline.upload.s3 import S3
from pipeline.upload.web import Web


def test_the_address_chooses_the_driver() -> None:
    assert isinstance(open_store("s3://bucket/folder", "http://127.0.0.1:1", "us-east-1", ("k", "s")), S3)
    assert isinstance(open_store("https://files.example.org/os", None, "us-east-1", None), Web)
    with pytest.raises(UsageError, match="ftp"):
        open_store("ftp://files.example.org", None, "us-east-1", None)
    with pytest.raises(UsageError, match="--upload-auth"):
        open_store("s3://bucket/folder", None, "us-east-1", None)


def test_a_secret_of_another_shape_is_refused_without_showing_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "auth").write_text("canary")
    (tmp_path / "disk").write_text("disk")
    url = "https://files.example.org"
    code = main(
        [f"--url={url}", f"--public-url={url}", "--key=k", f"--path={tmp_path}/disk", f"--auth-file={tmp_path}/auth"]
    )
    captured = capsys.readouterr()
    assert code == 2
    assert "KEY:SECRET" in captured.err
    assert "canary" not in captured.err + captured.out
