"""What openQA is asked for, and what it answered: pure text in, plain values out.

The submission itself is done by openqa-cli (`openqa-cli schedule`), never with its `--monitor`: that follows no
clones and calls a run of zero jobs a success.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from pipeline.domain import Digest
from pipeline.errors import UsageError
from pipeline.openqa.foreign import readable
from pipeline.policy.template import unknown

SUITE = "PIPELINE_SUITE"
"""The job setting that holds the fingerprint of scenarios and settings: a job without it is not ours to reuse."""

DISK = "PIPELINE_DISK_SHA256"
"""The job setting that holds the sha256 of the disk: an asset's name alone says nothing about its content."""

RUN = "PIPELINE_RUN"
"""The job setting that tells the jobs of one submission from those of another."""

ASSET = re.compile(r"(HDD|ISO|ASSET)_[1-9]|ISO|UEFI_PFLASH_VARS")
"""The settings in which a job names a file (openQA, OpenQA::Utils::asset_type_from_setting)."""

PLACEHOLDERS = ("disk_url", "disk_name", "version", "digest", "commit", "arch", "image")

_OURS = frozenset({"DISTRI", "VERSION", "FLAVOR", "ARCH", "BUILD", "TEST"})
_NOT_IN_A_NAME = re.compile(r"[\s=]")


def refused_setting(name: str, *assets: str) -> str:
    """Say why a setting of the user's own cannot be, beside the `assets` that the pipeline uploads; empty when it can.

    Anything that openQA takes is allowed (`_GROUP_ID`, `_PRIORITY`, `+HDD_2`), but for what the pipeline sets itself,
    and for secrets, which every visitor of openQA could read.
    """
    bare = name.lstrip("+").removesuffix("_DECOMPRESS_URL").removesuffix("_URL")
    if not bare or name != name.upper() or _NOT_IN_A_NAME.search(name):
        return f"{name!r} is not a name in upper case: openQA would ignore it, or take it for something else"
    if bare.startswith("_SECRET_"):
        return f"{name} would be a secret in a file of the repository and among the job's settings"
    if bare in _OURS or bare in assets or bare.startswith(("PIPELINE_", "SCENARIO_DEFINITIONS")):
        return f"{name} is set by the pipeline"
    return ""


def unknown_placeholders(text: str) -> list[str]:
    """The placeholders of a template that have no value here."""
    return unknown(text, PLACEHOLDERS)


def file_name(url: str) -> str:
    """The name that openQA gives to an asset that it downloads from there."""
    return url.split("?")[0].rpartition("/")[2]


def build_id(version: str, digest: Digest) -> str:
    """openQA's BUILD: `<version>-<D12>`, so that one digest has one build and a retry finds its jobs."""
    return f"{version}-{digest.short}"


@dataclass(frozen=True)
class Order:
    """One run of the regression suite on one disk.

    Raises UsageError when a setting of the user's is not allowed, or the disk's name could be another digest's.
    """

    distri: str
    flavor: str
    version: str
    """openQA's VERSION; a product of the server, or `*` of the scenario definitions, must match it."""
    arch: str
    release: str
    """The version of the image under test, without the `v`."""
    digest: Digest
    disk_url: str
    """The public URL that the openQA server downloads; its file name becomes the asset's name."""
    disk_sha256: Digest
    """Of the file behind that URL: what booted in the gate before."""
    scenarios: str = ""
    """The scenario definitions (YAML), as text; empty when the server's own job templates decide."""
    test: str = ""
    """Limit to this scenario; empty for all of them."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Settings of the user's own, names in upper case."""
    asset: str = "HDD_1"
    """The setting that names the disk; with `_URL` behind it the one that names where it comes from."""
    background: bool = False
    """openQA answers at once and makes the jobs afterwards: for products so large that the request would time out."""
    run: str = field(default_factory=lambda: uuid4().hex, compare=False)
    """Tells the jobs of this submission from those of any other."""

    def __post_init__(self) -> None:
        if self.digest.short not in self.disk:
            raise UsageError(
                f"the disk's file name {self.disk!r} does not hold {self.digest.short}: openQA downloads nothing when "
                "it has a file of that name, so the name must tell digests apart"
            )
        if not ASSET.fullmatch(self.asset):
            raise UsageError(f"openQA takes no file by the setting {self.asset!r}; by HDD_1, ISO and ASSET_1 it does")
        for name in self.extra:
            if refused := refused_setting(name, self.asset):
                raise UsageError(f"the openQA setting {refused}")

    @property
    def build(self) -> str:
        """BUILD of every job."""
        return build_id(self.release, self.digest)

    @property
    def disk(self) -> str:
        """The asset's name: what the setting `asset` of a job that boots it must be."""
        return file_name(self.disk_url)

    @property
    def suite(self) -> str:
        """The fingerprint of what is run: scenarios, test and the user's settings."""
        text = json.dumps([self.scenarios, self.test, self.asset, sorted(self.extra.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def settings(self) -> dict[str, str]:
        """Everything that is submitted; what is in upper case becomes a job setting."""
        limited = {"TEST": self.test} if self.test else {}
        return self._own | limited | dict(self.extra) | ({"async": "1"} if self.background else {})

    @property
    def _own(self) -> dict[str, str]:
        return {
            "DISTRI": self.distri,
            "VERSION": self.version,
            "FLAVOR": self.flavor,
            "ARCH": self.arch,
            "BUILD": self.build,
            self.asset: self.disk,
            f"{self.asset}_URL": self.disk_url,
            DISK: self.disk_sha256.hex,
            SUITE: self.suite,
            RUN: self.run,
        }


@dataclass(frozen=True)
class Answer:
    """What the server said to a submission."""

    ids: tuple[int, ...] = ()
    failed: tuple[str, ...] = ()
    """Jobs that could not be created, each with openQA's message."""
    error: str = ""
    status: int = 200
    """The HTTP status; 0 when no server answered."""
    scheduled_product: int | None = None
    pending: bool = False
    """The jobs are still being made; the scheduled product tells which (`parse_product`)."""


def schedule_arguments(host: str, scenario_file: str | None, settings: Mapping[str, str]) -> list[str]:
    """Return the command line that submits; key and secret come from client.conf (`client_conf`).

    Args:
        host: URL of the openQA server, as the container that runs openqa-cli reaches it.
        scenario_file: path of the scenario definitions inside that container; None to use the server's templates.
        settings: `Order.settings`.
    """
    return [
        *("openqa-cli", "schedule"),
        *("--host", host),
        *(("--param-file", f"SCENARIO_DEFINITIONS_YAML={scenario_file}") if scenario_file else ()),
        *(f"{name}={value}" for name, value in settings.items()),
    ]


def client_conf(host: str, key: str, secret: str) -> str:
    """The text of client.conf for one server; a secret itself. openqa-cli looks sections up by the URL's host name."""
    name = re.sub(r"^[a-z]+://", "", host).split("/")[0].rsplit(":", 1)[0]
    return f"[{name}]\nkey = {key}\nsecret = {secret}\n"


def parse_answer(stdout: str, exit_code: int, stderr: str = "") -> Answer:
    """Read what `openqa-cli schedule` printed.

    openqa-cli exits 0 whenever the HTTP request worked, also when no job was created, and 1 for an HTTP error or an
    `error` in the answer; neither is a verdict. No JSON at all means that no openQA answered, or a plain-text refusal.
    """
    try:
        data, _ = json.JSONDecoder().raw_decode(stdout, stdout.index("{"))
        ids = _ids(data.get("ids"))
        status = int(data.get("error_status") or 200)
        product = int(data["scheduled_product_id"]) if data.get("scheduled_product_id") else None
    except (ValueError, TypeError, OverflowError, RecursionError):
        return _without_json(stdout, exit_code, stderr)
    error = str(data.get("error") or "")
    pending = ids is None and product is not None and not error and exit_code == 0 and "minion_job_id" in data
    if not error and ids is None and not pending:
        error = f"an answer without job ids: {_tidy(stdout)}"
    if not error and exit_code != 0:
        error = f"openqa-cli ended with exit code {exit_code}: {_tidy(stderr)}"
    return Answer(
        ids=ids or (),
        failed=_refused(data.get("failed") or []),
        error=_tidy(error),
        status=status,
        scheduled_product=product,
        pending=pending,
    )


def parse_product(number: int, data: Mapping[str, object]) -> Answer:
    """Read what became of a submission in the background; `pending` while openQA is still at it.

    Args:
        number: of the scheduled product.
        data: what `/api/v1/isos/<number>?include_job_ids=1` says.

    An error is only in `results`, beside the status `scheduled` (OpenQA::Schema::Result::ScheduledProducts). Whatever
    is not plainly a list of jobs that were all made is an error.
    """
    if data.get("status") in ("added", "scheduling"):
        return Answer(scheduled_product=number, pending=True)
    results, listed = data.get("results"), data.get("job_ids")
    if not isinstance(results, dict):
        results = {}
    try:
        ids, made = _ids(results.get("successful_job_ids")) or (), _ids(listed) or ()
        status = int(results.get("error_code") or 200)
    except (ValueError, TypeError, OverflowError) as odd:
        return Answer(error=_tidy(f"the scheduled product {number} cannot be read: {odd}"), scheduled_product=number)
    error = str(results.get("error") or "")
    if not error and (data.get("status") != "scheduled" or status != 200 or set(ids) != set(made)):
        error = f"the scheduled product {number} is {data.get('status')}, with jobs {listed} of which {ids} were made"
    return Answer(ids, _refused(results.get("failed_job_info") or []), _tidy(error), status, number)


def _refused(failed: object) -> tuple[str, ...]:
    entries = failed if isinstance(failed, list) else [failed]
    return tuple(readable(json.dumps(entry, sort_keys=True), 500) for entry in entries)


def _ids(found: object) -> tuple[int, ...] | None:
    if found is None:
        return None
    if not isinstance(found, list) or not all(type(number) is int and number > 0 for number in found):
        raise ValueError(f"job ids that are {str(found)[:80]!r}")
    return tuple(found)


def _without_json(stdout: str, exit_code: int, stderr: str) -> Answer:
    said = _tidy(f"{stdout} {stderr}") or "nothing"
    code = re.search(r"\b([45]\d\d) [A-Z][a-z]+", _tidy(stderr))
    refused = "passlisted" in said or "missing parameters" in said
    status = int(code[1]) if code else 400 if refused else 0
    return Answer(error=f"openqa-cli ended with exit code {exit_code}: {said}", status=status)


def _tidy(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return readable(" ".join(plain.split()), 500)
