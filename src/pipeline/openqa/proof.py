"""The proof of a run, brought home: what the server keeps about its jobs, as files beside the report."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

import anyio

from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.openqa.client import OpenQA
from pipeline.openqa.jobs import Job, Needle
from pipeline.quantities import duration_text

_LOGS = re.compile(r"autoinst-log\.txt|worker-log\.txt|serial\d*\.txt|serial_terminal\.txt")
_VIDEO = re.compile(r"video\.[a-z0-9]{1,5}")
_SCREENSHOTS = 5
_PROOF_DEADLINE = 300.0
_PROOF_SIZE = 256 * 1024**2
"""Bytes of all logs and pictures of a run: the report is kept beside the image."""
_FILE_SIZE = 32 * 1024**2


async def bring_home(client: OpenQA, jobs: Sequence[Job], directory: Path, *, video: bool) -> list[str]:
    """Write what the server keeps about the jobs; return what could not be fetched, which changes no verdict."""
    missing: list[str] = []
    room = _PROOF_SIZE
    with anyio.move_on_after(_PROOF_DEADLINE) as scope:
        for job in jobs:
            folder = directory / _folder_name(job)
            try:
                room -= await _write_details(client, job, folder)
                for path, name in _proof(job, video=video):
                    if room <= 0:
                        raise PreconditionError(f"job {job.id}: the rest is too much for a report: see openQA itself")
                    await client.download(path, folder / name, min(room, _FILE_SIZE))
                    room -= (folder / name).stat().st_size
            except (PreconditionError, OSError) as error:
                missing.append(str(error))
            except InfrastructureError as error:
                missing.append(str(error))
                break
    if scope.cancelled_caught:
        missing.append(f"the proof was not complete after {duration_text(_PROOF_DEADLINE)}")
    return missing


def _folder_name(job: Job) -> str:
    """A name that can be nothing but a folder in the report, whatever the test is called."""
    return f"{job.id}-{re.sub(r'[^A-Za-z0-9._-]+', '_', job.title)}"[:100]


async def _write_details(client: OpenQA, job: Job, folder: Path) -> int:
    text = json.dumps(await client.details(job.id), indent=1, sort_keys=True) + "\n"
    await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
    return await anyio.Path(folder / "job.json").write_text(text)


def _proof(job: Job, *, video: bool) -> list[tuple[str, str]]:
    """Choose the files of a job that are worth keeping: server path and local name.

    Pictures are asked for by the job's own path: /image/… is served only where there is an Apache before openQA.
    """
    kept = [name for name in job.logs if _LOGS.fullmatch(name)]
    kept += [name for name in job.logs if video and job.result != "passed" and _VIDEO.fullmatch(name)]
    logs = [(f"/tests/{job.id}/file/{name}", name) for name in kept]
    pictures = [
        (f"/tests/{job.id}/images/{name}", name)
        for module in job.failed_modules
        for name in module.screenshots[-_SCREENSHOTS:]
    ]
    needles = [
        (_needle_path(job, module.needles[0]), f"needle-{module.needles[0].name}.png")
        for module in job.failed_modules
        if module.needles
    ]
    return logs + pictures + needles


def _needle_path(job: Job, needle: Needle) -> str:
    """Where the server has the picture (OpenQA::WebAPI, needle_file)."""
    where = {"version": job.settings.get("VERSION", ""), "jsonfile": needle.file}
    return f"/needles/{quote(job.settings.get('DISTRI', ''), safe='')}/{needle.name}.png?{urlencode(where)}"
