"""What openQA is asked for, and what it answered: pure text in, plain values out.

The submission itself is done by openqa-cli (`openqa-cli schedule`), never with its `--monitor`: that follows no
clones and calls a run of zero jobs a success.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.domain import Digest
from pipeline.errors import UsageError

SUITE = "PIPELINE_SUITE"
"""The job setting that holds the fingerprint of scenarios and settings: a job without it is not ours to reuse."""

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


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
    scenarios: str = ""
    """The scenario definitions (YAML), as text; empty when the server's own job templates decide."""
    test: str = ""
    """Limit to this scenario; empty for all of them."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Settings of the user's own, names in upper case."""

    def __post_init__(self) -> None:
        if self.digest.short not in self.disk:
            raise UsageError(
                f"the disk's file name {self.disk!r} does not hold {self.digest.short}: openQA downloads nothing when "
                "it has a file of that name, so the name must tell digests apart"
            )
        for name in self.extra:
            if not _NAME.fullmatch(name):
                raise UsageError(f"the openQA setting {name!r} is not a name in upper case: openQA would ignore it")
            if name.startswith(("_SECRET_", "SCENARIO_DEFINITIONS")) or name in self._own:
                raise UsageError(f"the openQA setting {name} is not for pipeline.toml: the pipeline sets it itself")

    @property
    def build(self) -> str:
        """BUILD of every job."""
        return build_id(self.release, self.digest)

    @property
    def disk(self) -> str:
        """The asset's name: what the jobs' HDD_1 must be."""
        return self.disk_url.split("?")[0].rpartition("/")[2]

    @property
    def suite(self) -> str:
        """The fingerprint of what is run: scenarios, test and the user's settings."""
        text = json.dumps([self.scenarios, self.test, sorted(self.extra.items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def settings(self) -> dict[str, str]:
        """Everything that becomes a job setting."""
        return self._own | ({"TEST": self.test} if self.test else {}) | dict(self.extra)

    @property
    def _own(self) -> dict[str, str]:
        return {
            "DISTRI": self.distri,
            "VERSION": self.version,
            "FLAVOR": self.flavor,
            "ARCH": self.arch,
            "BUILD": self.build,
            "HDD_1": self.disk,
            "HDD_1_URL": self.disk_url,
            SUITE: self.suite,
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
        ids = tuple(int(number) for number in data["ids"]) if data.get("ids") is not None else None
        status = int(data.get("error_status") or 200)
    except (ValueError, TypeError):
        return _without_json(stdout, exit_code, stderr)
    error = str(data.get("error") or "")
    if not error and ids is None:
        error = f"an answer without job ids: {_tidy(stdout)}"
    if not error and exit_code != 0:
        error = f"openqa-cli ended with exit code {exit_code}: {_tidy(stderr)}"
    failed = data.get("failed") or []
    return Answer(
        ids=ids or (),
        failed=tuple(json.dumps(entry, sort_keys=True) for entry in (failed if isinstance(failed, list) else [failed])),
        error=error,
        status=status,
        scheduled_product=data.get("scheduled_product_id"),
    )


def _without_json(stdout: str, exit_code: int, stderr: str) -> Answer:
    said = _tidy(f"{stdout} {stderr}") or "nothing"
    code = re.search(r"\b([45]\d\d) [A-Z][a-z]+", _tidy(stderr))
    refused = "passlisted" in said or "missing parameters" in said
    status = int(code[1]) if code else 400 if refused else 0
    return Answer(error=f"openqa-cli ended with exit code {exit_code}: {said}", status=status)


def _tidy(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return " ".join(plain.split())[:500]
