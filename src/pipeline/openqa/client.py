"""A client of openQA's REST API: reads, comments, the restart of a job and its end. Submitting is openqa-cli's work."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import urlencode

import anyio

from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.openqa.foreign import readable
from pipeline.openqa.jobs import Job, bug_references
from pipeline.openqa.submission import Order
from pipeline.openqa.transport import NotThere, Transport
from pipeline.quantities import http_date

_MAX_CLONES = 50
_AT_ONCE = 200
"""Jobs that are asked for in one request: by their numbers in its address, which must not be too long."""
_BEFORE = 100
"""Earlier jobs that are asked for, to tell how long one takes."""
_CONSOLE = "serial0.txt"
_MAX_CONSOLE = 4 * 1024**2


@dataclass(frozen=True)
class Worker:
    """A worker that is connected to the server."""

    status: str
    classes: str
    """The WORKER_CLASS that it serves, as it says."""

    @classmethod
    def parse(cls, data: object) -> Self:
        """Read one entry of the list; TypeError when it is not one."""
        if not isinstance(data, dict):
            raise TypeError(f"a worker that is {str(data)[:80]!r}")
        properties = data.get("properties")
        said = properties.get("WORKER_CLASS") if isinstance(properties, dict) else None
        return cls(readable(data.get("status"), 80), readable(said or "?", 200))


class OpenQA:
    """One openQA server, as an async context manager.

    Args:
        url: the server as people and workers know it.
        key, secret: of an operator; without them only public answers can be read.
        address: `host:port` to connect to when `url` names a host that only other containers can resolve.
        deadline: seconds that one call may spend on retries before it is an outage.

    Every call raises InfrastructureError when the server cannot be reached, keeps failing until the deadline, or says
    what openQA does not say, and PreconditionError when it refuses. No redirect is followed: what is signed for this
    server goes nowhere else.
    """

    def __init__(
        self, url: str, key: str = "", secret: str = "", *, address: str | None = None, deadline: float = 120.0
    ) -> None:
        self._server = Transport(url, key, secret, address=address, deadline=deadline)
        self.url = self._server.url
        self.has_key = bool(key)

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._server.__aexit__(*error)

    def link(self, job: int) -> str:
        """The page of a job that a person opens."""
        return f"{self.url}/tests/{job}"

    def overview(self, build: str) -> str:
        """The page of all jobs of a build."""
        return f"{self.url}/tests/overview?{urlencode({'build': build})}"

    async def job(self, number: int) -> Job:
        """Read one job; its modules and logs too once it is final."""
        job = self._job(await self._server.json("GET", f"/api/v1/jobs/{number}/details"))
        return job if job.final else job.without_modules()

    async def listed(self, numbers: Iterable[int]) -> dict[int, Job]:
        """Read any number of jobs in few requests, by number: of those that run with the modules as far as the worker
        has told, of those that have ended without (`job` has them).

        Raises NotThere when the server does not know one of them.
        """
        found, wanted = dict[int, Job](), sorted(set(numbers))
        for start in range(0, len(wanted), _AT_ONCE):
            asked = wanted[start : start + _AT_ONCE]
            data = await self._server.json("GET", "/api/v1/jobs", params={"ids": ",".join(map(str, asked))})
            with self._server.understood(data):
                found |= {job.id: job for job in map(Job.parse_listed, _list(data["jobs"]))}
        missing = [str(number) for number in wanted if number not in found]
        if missing:
            raise NotThere(f"openQA at {self.url} has no job {', '.join(missing)} (any more)")
        return found

    async def passed_before(self, job: Job) -> list[Job]:
        """Read the last jobs of the same product that passed, of any scenario and build, without their modules."""
        product = {name.lower(): job.settings.get(name, "") for name in ("DISTRI", "FLAVOR", "ARCH")}
        query = product | {"state": "done", "result": "passed", "limit": str(_BEFORE)}
        data = await self._server.json("GET", "/api/v1/jobs", params=query)
        with self._server.understood(data):
            return [Job.parse(entry) for entry in _list(data["jobs"])]

    async def details(self, number: int) -> dict[str, Any]:
        """The whole answer about a job, for the report."""
        data = await self._server.json("GET", f"/api/v1/jobs/{number}/details")
        with self._server.understood(data):
            return dict(data["job"])

    async def newest(self, numbers: Sequence[int]) -> list[Job]:
        """Follow `clone_id` from each of these jobs to the one that nothing replaces, as `listed` reads it."""
        chains = [[number] for number in numbers]
        known = dict[int, Job]()
        for _ in range(_MAX_CLONES):
            known |= await self.listed(chain[-1] for chain in chains if chain[-1] not in known)
            replaced = [chain for chain in chains if known[chain[-1]].clone_id is not None]
            if not replaced:
                return [known[end].preceded_by(before) for *before, end in chains]
            for chain in replaced:
                chain.append(known[chain[-1]].clone_id or 0)
        raise InfrastructureError(
            f"openQA's job {numbers[0]} or another has more than {_MAX_CLONES} clones: look at it"
        )

    async def jobs_of(self, order: Order) -> list[Job]:
        """Read all jobs of an order's BUILD, replaced ones too, without their modules; empty when it never ran."""
        query = {
            "distri": order.distri,
            "version": order.version,
            "flavor": order.flavor,
            "arch": order.arch,
            "build": order.build,
        }
        data = await self._server.json("GET", "/api/v1/jobs", params=query)
        with self._server.understood(data):
            return [Job.parse(entry) for entry in _list(data["jobs"])]

    async def scheduled_product(self, number: int) -> dict[str, Any]:
        """Read what the server made of a submission (needs an operator's key)."""
        return await self._server.json("GET", f"/api/v1/isos/{number}", params={"include_job_ids": "1"})

    async def workers(self) -> list[Worker]:
        """Read the workers that the server knows, dead ones too."""
        data = await self._server.json("GET", "/api/v1/workers")
        with self._server.understood(data):
            return [Worker.parse(worker) for worker in _list(data["workers"])]

    async def groups(self) -> dict[str, str]:
        """Read the job groups: their names by number."""
        data = await self._server.answer("GET", "/api/v1/job_groups")
        with self._server.understood(data):
            return {str(int(group["id"])): readable(group["name"], 200) for group in _list(data)}

    async def ask_to_download(self, url: str) -> None:
        """Ask, without a job, whether the server lets itself download from this address (needs an operator's key).

        Raises PreconditionError when the host is not among its download_domains.
        """
        asked = {"DISTRI": "bootc-pipeline-doctor", "VERSION": "0", "FLAVOR": "none", "ARCH": "none", "HDD_1_URL": url}
        await self._server.answer("POST", "/api/v1/isos", form=asked)

    async def clock(self) -> datetime | None:
        """The server's time, as the Date header of an answer has it."""
        return http_date((await self._server.headers()).get("date", ""))

    async def comments(self, place: str) -> list[str]:
        """Read the texts of the comments of `jobs/<id>` or `groups/<id>`."""
        data = await self._server.answer("GET", f"/api/v1/{place}/comments")
        with self._server.understood(data):
            return [str(comment["text"]) for comment in _list(data)]

    async def bugs(self, number: int) -> dict[str, str]:
        """Read the bugs that comments of a job name, each with the name of who wrote that."""
        return bug_references(await self._server.answer("GET", f"/api/v1/jobs/{number}/comments"))

    async def comment(self, place: str, text: str) -> None:
        """Write a comment to `jobs/<id>` or `groups/<id>` (needs an operator's key)."""
        await self._server.answer("POST", f"/api/v1/{place}/comments", form={"text": text})

    async def cancel(self, number: int) -> None:
        """Cancel a job; one that has ended stays as it is."""
        await self._server.answer("POST", f"/api/v1/jobs/{number}/cancel")

    async def restart(self, number: int) -> int:
        """Restart a job and return the id of its clone.

        Raises PreconditionError when openQA refuses (an asset is missing, say). A restart whose answer got lost is
        found again by its clone.
        """
        data = await self._server.json("POST", f"/api/v1/jobs/{number}/restart")
        with self._server.understood(data):
            for pair in data.get("result") or []:
                if str(number) in pair:
                    return int(pair[str(number)])
        (newest,) = await self.newest([number])
        if newest.id != number:
            return newest.id
        with self._server.understood(data):
            why = "; ".join(readable(error, 500) for error in data.get("errors") or []) or "it gives no reason"
        raise PreconditionError(f"openQA does not restart job {number}: {why}")

    async def download(self, path: str, target: Path, limit: int = 32 * 1024**2) -> None:
        """Write a file of the server to `target`, at most `limit` bytes of it.

        A log that is longer is cut, and says so in its last line.
        """
        await self._server.download(path, target, limit)

    async def console(self, number: int) -> str:
        """Read the beginning of a job's serial console; empty when it has none."""
        with TemporaryDirectory() as folder:
            log = Path(folder, _CONSOLE)
            try:
                await self.download(f"/tests/{number}/file/{_CONSOLE}", log, _MAX_CONSOLE)
            except PreconditionError:
                return ""
            return await anyio.Path(log).read_text(errors="replace")

    def _job(self, data: dict[str, Any]) -> Job:
        with self._server.understood(data):
            return Job.parse(data["job"])


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{str(value)[:80]!r} where a list is expected")
    return value
