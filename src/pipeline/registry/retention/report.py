"""What a prune planned and did, for people and for whoever has to bring something back."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from pipeline.domain import Digest, Outcome, Tag
from pipeline.policy.retention import Deletion, RetentionPlan, Untag

_SHOWN = 40


class Deleted(BaseModel):
    """One manifest: with these bytes the manifest can be pushed again while its blobs are there."""

    model_config = ConfigDict(frozen=True)

    digest: Digest
    media_type: str
    tags: tuple[Tag, ...]
    manifest: str
    """The manifest itself, as it was stored."""
    note: str = ""


class Skipped(BaseModel):
    """Something planned that stays after all."""

    model_config = ConfigDict(frozen=True)

    digest: Digest
    tags: tuple[Tag, ...] = ()
    reason: str


class PruneReport(BaseModel):
    """How a prune ended."""

    repository: str
    driver: str
    at: AwareDatetime
    confirmed: bool
    outcome: Outcome = Outcome.PASSED
    reason: str = ""
    total: int = 0
    """Manifests in the repository, as far as they are known."""
    planned: tuple[Deletion, ...] = ()
    planned_untags: tuple[Untag, ...] = ()
    freed: int = 0
    """Bytes at most, if all of the plan is carried out."""
    refused: str = ""
    known: tuple[Digest, ...] = Field(default=(), exclude=True, repr=False)
    """All manifests of the listing."""
    named: frozenset[Digest] = Field(default=frozenset(), exclude=True, repr=False)
    """All that the ledgers ever named."""
    deleted: list[Deleted] = []
    """In the order of deletion."""
    unclear: list[Digest] = []
    """What the deletion of which was broken off: it may be there, or not, or without some of its tags."""
    restore_list: Tag | None = None
    """Where everything that was about to go is noted for `restore`, written before the first deletion."""
    untagged: list[Untag] = []
    skipped: list[Skipped] = []
    verified: int = 0
    """Manifests behind roots that were fetched again afterwards."""
    lost: list[str] = []
    """Tags that were kept, and manifests that they need, which were not there afterwards."""
    warnings: list[str] = []
    remembered: int = 0
    """Manifests of which an earlier plan asked what hangs on them, and this one did not."""
    as_of: AwareDatetime | None = None
    """When it asked, the oldest of these answers."""
    requests: int = 0

    def follow(self, plan: RetentionPlan) -> None:
        """Take over what was planned."""
        self.known = (*plan.kept, *(deletion.digest for deletion in plan.deletions))
        self.total = len(self.known)
        self.planned, self.planned_untags = plan.deletions, plan.untags
        self.freed, self.refused = plan.freed, plan.refused

    @property
    def kept(self) -> tuple[Digest, ...]:
        """What is still there: the disks of these images stay too (`pipeline.upload.prune`)."""
        gone = {one.digest for one in self.deleted}
        return tuple(digest for digest in self.known if digest not in gone)

    def text(self) -> str:
        """The report for a terminal."""
        stays = self.total - len(self.planned)
        lines = [
            f"{self.repository}: {_count(self.total, 'manifest')}, {len(self.planned)} may go, {stays} stay, "
            f"at most {_size(self.freed)}"
        ]
        if self.confirmed:
            lines.append(
                f"deleted {len(self.deleted)} of {len(self.planned)}, untagged {len(self.untagged)} of "
                f"{len(self.planned_untags)}, skipped {len(self.skipped)}; "
                f"{_count(self.verified, 'manifest')} behind kept tags fetched again"
            )
        lines += [f"refused: {self.refused}"] if self.refused else []
        lines += [f"warning: {warning}" for warning in self.warnings]
        if self.as_of:
            lines.append(
                f"what hangs on {self.remembered} of the manifests is as of {self.as_of:%Y-%m-%d %H:%M} UTC; "
                "--confirm asks again"
            )
        lines += _some([_goes(deletion) for deletion in self.planned])
        lines += _some([f"  untag {one.tag} from {one.digest.short}: {one.reason}" for one in self.planned_untags])
        lines += [f"  stays {one.digest.short} {' '.join(one.tags)}: {one.reason}" for one in self.skipped]
        lines += [f"  unclear {digest.short}: the answer to its deletion is missing" for digest in self.unclear]
        lines += [f"  LOST {what}" for what in self.lost]
        if self.restore_list:
            lines.append(
                f"restore list: {self.repository}:{self.restore_list}; `restore --tag={self.restore_list}` pushes it "
                "back for as long as the registry has not collected the layers"
            )
        lines += [f"{self.outcome.value}: {self.reason}"]
        return "\n".join(lines)


def _goes(deletion: Deletion) -> str:
    tags = f" {' '.join(deletion.tags)}" if deletion.tags else ""
    return f"  delete {deletion.kind.value} {deletion.digest.short}{tags}: {deletion.reason}"


def _some(lines: list[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], f"  … and {more} more, in the report"] if more > 0 else lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _size(number: int) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.1f} {unit}" if unit != "B" else f"{number} B"
        number = number / 1024  # type: ignore[assignment]
    return f"{number:.1f} TiB"
