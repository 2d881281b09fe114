"""`openqa` and `upload` of `[gates.stable]`: the server, what it must run, and where it fetches the disk."""

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from pipeline.config.words import Platform, RelativePath, Said, Table, UploadUrl, Url
from pipeline.openqa.submission import ASSET, PLACEHOLDERS, refused_setting, unknown_placeholders
from pipeline.quantities import Deadline, Duration


class OpenQAJob(Table):
    """`[gates.stable.openqa.jobs.NAME]`: what is special about one scenario; NAME is `TEST` or `TEST@MACHINE`."""

    required: bool = True
    """False: it runs, its result is shown, and it stops no release."""
    accept_softfailed: bool | None = None
    """As for all jobs when absent."""


def _template(text: str) -> str:
    if unknown := unknown_placeholders(text):
        allowed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ValueError(f"there is no {{{unknown[0]}}}; allowed are {allowed}")
    return text


Template = Annotated[str, AfterValidator(_template)]


class OpenQA(Table):
    """`openqa` of `[gates.stable]`: the server and what it must run."""

    url: Url
    """The address of the server."""
    scenarios: RelativePath | None = None
    """Scenario definitions sent with the request; without them the server's own job templates decide."""
    distri: Said = "bootc"
    """The test distribution: DISTRI."""
    flavor: Said | Annotated[tuple[Said, ...], Field(min_length=1)] = "qcow2"
    """One, or several that all must pass."""
    version: Annotated[Said, AfterValidator(_template)] = "{version}"
    """VERSION of the jobs; see `settings` for what may stand in it."""
    arch: dict[Platform, Said] = {}
    """By platform (`linux/amd64`), when openQA calls the architecture otherwise than the kernel does."""
    test: Said | None = None
    """Limit to this scenario; all that match otherwise."""
    asset: Annotated[str, Field(pattern=rf"^({ASSET.pattern})$")] = "HDD_1"
    """The setting by which the jobs get the disk: HDD_1, ISO, ASSET_1 …; its address goes into the same with _URL."""
    assets: dict[Annotated[str, Field(pattern=rf"^({ASSET.pattern})$")], RelativePath] = {}
    """More files for every job, by the setting that names them (UEFI_PFLASH_VARS, ISO_1, ASSET_1 …): files of the
    repository, uploaded beside the disk; their addresses go into the same with _URL."""
    settings: dict[str, Template] = {}
    """More settings for every job: all that openQA takes, but what the pipeline sets itself."""
    jobs: dict[str, OpenQAJob] = {}
    """By scenario: advisory ones, and whether softfailed passes."""
    expect_jobs: int = Field(1, ge=1, strict=True)
    """At least this many, of each architecture and flavor."""
    accept_softfailed: bool = False
    """Whether a job that openQA calls softfailed passes."""
    bug_references: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,10}$")], ...] = ()
    """Trackers as openQA abbreviates them (`bsc`, `gh`): a comment with one of their bugs lets a failed job through."""
    in_background: bool = False
    """openQA answers at once and makes the jobs afterwards: for products so large that the request would time out."""
    video: bool = False
    """Bring the videos of jobs that did not pass into the report."""
    leave_jobs: bool = False
    """Leave the jobs of a run that was interrupted or came to its deadline; a repeated command then takes them up."""
    timeout: Deadline = 4 * 3600.0
    """From the submission to the last job's end."""
    pickup_timeout: Deadline = 1800.0
    """How long a job may wait for a worker."""
    poll: Duration = Field(10.0, ge=1)
    """How often the server is asked."""

    @property
    def flavors(self) -> tuple[str, ...]:
        """Each is a submission of its own."""
        return (self.flavor,) if isinstance(self.flavor, str) else self.flavor

    @field_validator("assets")
    @classmethod
    def _assets_are_not_the_disk(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if info.data.get("asset") in value:
            raise ValueError(f"expected another setting than {info.data['asset']}, which names the disk under test")
        return value

    @field_validator("settings")
    @classmethod
    def _settings_are_the_users(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        owned = (info.data.get("asset", "HDD_1"), *info.data.get("assets", ()))
        refused = [why for name in value if (why := refused_setting(name, *owned))]
        if refused:
            raise ValueError("; ".join(refused))
        return value


class Upload(Table):
    """`upload` of `[gates.stable]`: the object store or web server where openQA fetches the disk."""

    url: UploadUrl
    """s3://BUCKET/PREFIX, or an http(s) address that takes PUT."""
    public_url: Url
    """The address of the same folder as openQA and users see it."""
    endpoint: Url | None = None
    """For S3 that is not Amazon's: the server's address."""
    region: Said = "us-east-1"
    """Of the S3 bucket."""
    timeout: Deadline = 3600.0
    """For one disk."""

    @model_validator(mode="after")
    def _endpoint_is_for_s3(self) -> "Upload":
        if self.endpoint and not self.url.startswith("s3://"):
            raise ValueError("endpoint goes with an s3:// url only")
        return self

    @property
    def asks_for_login(self) -> bool:
        """Whether it surely takes nothing without one; a web server may."""
        return self.url.startswith("s3://")
