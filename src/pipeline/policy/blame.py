"""Whose fault a failed tool run is: one table for the disk builder, podman and skopeo, which all have one exit code."""

import re
from dataclasses import dataclass
from enum import Flag, auto

from pipeline.errors import GateFailed, InfrastructureError, PipelineError, PreconditionError, UsageError


class Work(Flag):
    """What the tool was doing, because the same words mean something else in another place."""

    BUILD = auto()
    """`podman build`: what a RUN step says is in the output, too."""
    COPY = auto()
    """skopeo or podman between storage and registry, of an image that is known to be there."""
    PULL = auto()
    """The same of an image that the configuration names."""
    DISK = auto()
    """The disk builder."""


@dataclass(frozen=True)
class Blame:
    """The kind of error that a run ends with, and what to do about it in one sentence."""

    error: type[PipelineError]
    advice: str = ""


@dataclass(frozen=True)
class _Sign:
    where: Work
    words: str
    blame: Blame


_ANYWHERE = Work.BUILD | Work.COPY | Work.PULL | Work.DISK
_CARRIED = Work.COPY | Work.PULL
_REGISTRY = r"(initializing source|pinging container registry|reading manifest|copying system image|docker://).*"
"""Before a refusal in a build's output, which would be a RUN step's own otherwise."""

_FULL = r"no space left on device|ENOSPC|disk quota exceeded|not enough (free )?(disk )?space"

_AGAIN = "This says nothing about the image; run the command again."
_ROOM = Blame(InfrastructureError, f"The engine's machine has no room: make some. {_AGAIN}")
_KILLED = Blame(InfrastructureError, f"Something killed it, mostly for want of memory: give more. {_AGAIN}")
_OUTAGE = Blame(InfrastructureError, f"A network or a server failed. {_AGAIN}")
_NEVER_RAN = Blame(InfrastructureError, f"The container runtime of the engine's machine failed. {_AGAIN}")
_EMPTIED = Blame(InfrastructureError, f"Another run of the same candidate emptied its storage. {_AGAIN}")
_DEVICES = Blame(
    InfrastructureError,
    "The engine's machine gives no loop or partition devices: load its loop module, or use another engine.",
)
_PRIVILEGE = Blame(
    InfrastructureError,
    "The engine gives the builder too few rights: allow insecure root capabilities (`doctor` tries them).",
)
_LOGIN = Blame(PreconditionError, "The registry refuses the login: give one with the rights for it in --registry-auth.")
_ABSENT = Blame(PreconditionError, "The registry has no such image: correct its name, or push it.")
_IMMUTABLE = Blame(
    PreconditionError,
    "The registry never lets this tag be written again: take the moving tags out of its immutability rule.",
)
_QUOTA = Blame(PreconditionError, "The repository's quota is used up: raise it, or delete what `prune` lists.")
_LARGE = Blame(PreconditionError, "The registry or a proxy before it takes nothing so large: raise its limit.")
_TYPE = Blame(PreconditionError, "The registry takes no such manifest: allow OCI images and artifacts in it.")
_NOT_OCI = Blame(
    PreconditionError,
    "It is no OCI image, so an OCI layout cannot hold it as it is: push it as one (podman push --format=oci), or hand "
    "over one index by its digest.",
)
_SCHEMA_1 = Blame(PreconditionError, "The image is of Docker's schema 1, which nobody serves any more: build it anew.")
_PLAIN = Blame(UsageError, "The registry speaks plain HTTP: name it in plain_http of pipeline.toml.")
_TRUST = Blame(PreconditionError, "Its certificate is not trusted here: give the registry one that is.")
_OPTIONS = Blame(UsageError, "Correct gates.testing.builder.args for this builder.")
_CONFIG = Blame(UsageError, "Correct the file that gates.testing.builder.config names.")
_FILE_SYSTEM = Blame(
    GateFailed,
    "Declare one in the image (/usr/lib/bootc/install/*.toml: [install.filesystem.root] type), or add --rootfs to "
    "gates.testing.builder.args.",
)

_TABLE = [
    # final words of registries; an outage may stand on the line before, when the tool tried again
    _Sign(_CARRIED, r"immutable|cannot be overwritten", _IMMUTABLE),
    _Sign(_CARRIED, r"quota", _QUOTA),
    _Sign(_CARRIED, r"\b413\b|entity too large|SIZE_INVALID|(blob|manifest|layer) .*too large", _LARGE),
    _Sign(_ANYWHERE, r"schema ?(version )?1\b|manifest\.v1\+(pretty)?jws", _SCHEMA_1),
    _Sign(Work.PULL, r"Instructed to preserve digests", _NOT_OCI),
    _Sign(_CARRIED, r"unsupported (manifest )?media ?type|MANIFEST_INVALID|manifest invalid|\b415\b", _TYPE),
    _Sign(_ANYWHERE, r"server gave HTTP response to HTTPS client", _PLAIN),
    _Sign(_ANYWHERE, r"(x509|tls): .*certificate|certificate signed by unknown authority", _TRUST),
    # outages before refusals: a gateway's "503 … denied" is none
    _Sign(_ANYWHERE, _FULL, _ROOM),
    _Sign(
        _ANYWHERE,
        r"signal: killed|\bSIGKILL\b|exit (status|code):? 137|^Killed$|out of memory|cannot allocate memory|signal 9\b",
        _KILLED,
    ),
    _Sign(
        _ANYWHERE,
        r"connection (refused|reset|timed out)|i/o timeout|no such host|temporary failure in name resolution|"
        r"tls handshake timeout|context deadline exceeded|could not resolve host|broken pipe|timeout was reached|"
        r"net/http: .*(timeout|canceled)|network is unreachable|no route to host|toomanyrequests|too many requests|"
        r"(HTTP status|status code|StatusCode|invalid status code from registry):? (429|5\d\d)|"
        r"\b50[0234] (internal server error|bad gateway|service unavailable|gateway time)",
        _OUTAGE,
    ),
    _Sign(
        Work.BUILD | _CARRIED,
        r"(pinging container registry|initializing source|(writing|copying|reading) (blob|manifest|layer)).*: "
        r"(unexpected )?EOF",
        _OUTAGE,
    ),
    _Sign(Work.BUILD, r"\b(runc|crun) create failed: (?!.*\b(exec|mounting)\b)", _NEVER_RAN),
    _Sign(_CARRIED, r"unexpected EOF|system is (in|currently) read.only", _OUTAGE),
    _Sign(
        _CARRIED | Work.DISK,
        r"unauthorized|authentication required|(?<!permission )\bdenied\b|\b403\b.*forbidden|invalid username/password",
        _LOGIN,
    ),
    _Sign(Work.BUILD, _REGISTRY + r"(unauthorized|authentication required|denied)", _LOGIN),
    _Sign(Work.PULL, r"manifest unknown|name unknown|repository name not known", _ABSENT),
    # the disk builder
    _Sign(
        Work.DISK,
        r"image not known|no container storage|not in /var/lib/containers/storage|does not resolve to an image",
        _EMPTIED,
    ),
    _Sign(
        Work.DISK,
        r"can't lookup blockdev|fsconfig\(\) failed|losetup|loop device|/dev/loop\S*: (no such|failed|cannot)|"
        r"no such (file|device).*/dev/|device node .*not",
        _DEVICES,
    ),
    _Sign(
        Work.DISK,
        r"operation not permitted|must be (run as )?root|requires? root|(not|requires?|in a) privileged|"
        r"cannot (ensure the environment|validate the setup)|"
        r"(mount|unshare|mknod|setup).*permission denied",
        _PRIVILEGE,
    ),
    _Sign(Work.DISK, r"no default root ?file ?system", _FILE_SYSTEM),
    _Sign(
        Work.DISK,
        r"unknown (shorthand )?flag|unknown command|flag needs an argument|invalid argument|unrecognized arguments|"
        r"required flag|accepts (at most |between )?\d+.* arg|(unsupported|unknown|invalid) (image )?type|"
        r"argument --\S+: |the following arguments are required|no such option|unexpected argument",
        _OPTIONS,
    ),
    _Sign(
        Work.DISK,
        r"(cannot|could not|failed to|error) (\w+ing |\w+ )?(user |build )?config|unknown keys? found|"
        r"/config\.(toml|json)|customizations\.\S+ is not",
        _CONFIG,
    ),
]
"""In this order for one line; the builder's, podman's and skopeo's own words (osbuild/images, containers/image)."""

_OTHERWISE = {
    Work.BUILD: Blame(GateFailed),
    Work.COPY: Blame(InfrastructureError, _AGAIN),
    Work.PULL: Blame(InfrastructureError, _AGAIN),
    Work.DISK: Blame(GateFailed),
}

_ANY_CASE = re.IGNORECASE
_NOISE = re.compile(
    r"exit status \d+\W*$|exited with (code|status) \d+|Traceback|CalledProcessError|^\s*(at |File \")|"
    r"^time=\S+ level=(info|debug|warning)|^(WARN|INFO|DEBUG)|^warning:|WARNING:",
    _ANY_CASE,
)
_ERROR = re.compile(
    r"\b(error|errno|fatal|failed|failure|cannot|can't|required|unable|denied|refused|killed)\b", re.IGNORECASE
)
_PREFIX = re.compile(r"^(\[[^]]*\]\s*|\w+\.(service|stage)[^\s:]*:\s*)*(error|fatal|err)\w*:\s*", _ANY_CASE)


def whose_fault(work: Work, said: str, lines: int = 40) -> Blame:
    """What a failed run's output (the end of it counts) says of the cause.

    The line that was said last decides: before it stands what the tool tried again. Without any word that is known, a
    build or disk that failed is the image's fault, and a copy that failed is an outage.
    """
    for line in reversed(said.splitlines()[-lines:]):
        for sign in _TABLE:
            if work in sign.where and re.search(sign.words, line, _ANY_CASE):
                return sign.blame
    return _OTHERWISE[work]


def blamed(work: Work, said: str, what: str, end: str = "") -> PipelineError:
    """The error for a run that failed: what it said last of the cause, what was tried, what to do, and its `end`."""
    blame = whose_fault(work, said)
    reason = f"{headline(said).rstrip('.')} ({what}). {blame.advice}".strip()
    return blame.error(f"{reason}\nIts last lines:\n{end or said.strip()}")


def is_full(said: str) -> bool:
    """Whether a tool, the engine or the kernel says that a disk is full."""
    return re.search(_FULL, said, _ANY_CASE) is not None


def headline(said: str) -> str:
    """The last line that names a cause, without its `error:`; wrappers such as `exit status 1` name none."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if not _NOISE.search(line)]
    chosen = next((line for line in reversed(named) if _ERROR.search(line)), None)
    found = chosen or (named or lines or ["it said nothing"])[-1]
    return _PREFIX.sub("", found)[:500]
