"""A report as files in a directory: result.json, summary.md, junit.xml, report.html."""

from pathlib import Path

from pipeline.report.artefacts import collect
from pipeline.report.excerpt import bounded
from pipeline.report.junit import junit
from pipeline.report.model import Result
from pipeline.report.page import page
from pipeline.report.summary import summary


def write_report(result: Result, directory: Path) -> None:
    """Write the four files beside what is in `directory` already (`vm/…`, `openqa/…`), which the page shows.

    Writing again replaces them. For several images: each into its own folder, then `release.merge` of them on top.
    """
    directory.mkdir(parents=True, exist_ok=True)
    contents = {
        "result.json": bounded(result).model_dump_json(indent=2) + "\n",
        "summary.md": summary(result),
        "junit.xml": junit(result),
        "report.html": page(result, collect(directory)),
    }
    for name, text in contents.items():
        (directory / name).write_text(text, encoding="utf-8")
