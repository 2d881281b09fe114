"""Questions to the history of the user's repository."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import dagger

from pipeline.containers.base import debian
from pipeline.containers.execution import Killed, attempt
from pipeline.domain import Commit
from pipeline.errors import UsageError

_FATAL = 128
_BRANCHES = ("refs/heads/", "refs/remotes/origin/")
_DEFAULT = "refs/remotes/origin/HEAD"


def commit_range(older: str, newer: str) -> str | None:
    """The commits between as git names them; None for what is no commit: a label may say anything, options as well."""
    return f"{older}..{newer}" if all(map(Commit.PATTERN.fullmatch, (older, newer))) else None


def places(changed: Sequence[str]) -> str:
    """How many lines `git status --porcelain` has, and the first of them."""
    one = len(changed) == 1
    return f"{len(changed)} place{'s' * (not one)} ({changed[0].strip()}{', …' * (not one)})"


def commit_named(found: str) -> Commit:
    """The commit that git printed; UsageError for one of a repository whose objects are named by sha256."""
    try:
        return Commit(found)
    except ValueError:
        raise UsageError(
            f"git calls the commit {found}; expected 40 hexadecimal digits. Repositories whose objects are named by "
            "sha256 (git init --object-format=sha256) are not supported, because image tags carry the commit."
        ) from None


def is_branch(reference: str, branches: Sequence[str]) -> bool:
    """Whether a full reference (`refs/heads/main`) is one of these branches; `*` in a name is anything."""
    return any(
        fnmatchcase(reference.removeprefix(place), name)
        for place in _BRANCHES
        if reference.startswith(place)
        for name in branches
    )


def main_branches(default: str, named: str, branches: Sequence[str]) -> list[str]:
    """Full names of the branches that may say whom to trust, the first one that is there does.

    Args:
        default: what origin's HEAD is; empty when the clone does not know.
        named: by the caller, and then no other.
        branches: what the checked-out tree calls its main branch. It comes last: a tree must not choose its judge.
    """
    names = [named] if named else ["main", "master", *(name for name in branches if "*" not in name)]
    found = [f"{place}{name}" for place in reversed(_BRANCHES) for name in names]
    if named:
        return found
    usual = sorted(found, key=lambda one: one.removeprefix(_BRANCHES[1]).removeprefix(_BRANCHES[0]) in names[2:])
    return [default, *usual] if default else usual


@dataclass(frozen=True)
class History:
    """The git repository that the caller handed over, `.git` included."""

    container: dagger.Container

    @classmethod
    def of(cls, source: dagger.Directory) -> "History":
        """A container with git and the repository."""
        container = (
            debian("git", "git-lfs")
            .with_exec(["git", "config", "--system", "safe.directory", "*"])
            .with_exec(["git", "lfs", "install", "--system", "--skip-repo"])
            .with_mounted_directory("/repository", source)
            .with_workdir("/repository")
        )
        return cls(container)

    async def head(self) -> Commit:
        """The commit that is checked out; UsageError without a git repository, or without a commit in it."""
        commit = await self._ask("rev-parse", "--verify", "--quiet", "HEAD")
        if commit is None and await self._ask("rev-parse", "--git-dir"):
            raise UsageError("The source is a git repository without a commit; expected one (git add, git commit).")
        if commit is None:
            raise UsageError(
                "The source is not a git repository. Stand in one, or pass --source a full checkout "
                "(its .git folder included; a git worktree's is elsewhere)."
            )
        return commit_named(commit)

    async def uncommitted(self) -> list[str]:
        """Files that differ from the commit, as `git status --porcelain` names them.

        Raises UsageError when git cannot tell: an unknown tree is not a clean one.
        """
        ran = await attempt(self.container, ["git", "status", "--porcelain"])
        if ran.code:
            raise UsageError(f"git cannot say whether the source differs from its commit: {ran.end(3)}")
        return ran.stdout.splitlines()

    async def on_branch(self, commit: Commit, branches: Sequence[str]) -> bool:
        """Whether one of the branches, here or at origin, contains the commit; names may be patterns (`release/*`)."""
        found = await self._ask("for-each-ref", f"--contains={commit}", "--format=%(refname)", *_BRANCHES)
        return any(is_branch(name, branches) for name in (found or "").splitlines())

    async def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` contains `older`; False as well when one of them is not in this history."""
        return await self._ask("merge-base", "--is-ancestor", older, newer) is not None

    async def knows(self, commit: str) -> bool:
        """Whether the commit is in this history."""
        return await self._ask("cat-file", "-e", f"{commit}^{{commit}}") is not None

    async def shallow(self) -> bool:
        """Whether the history was cut off (`actions/checkout` does that unless fetch-depth is 0)."""
        return await self._ask("rev-parse", "--is-shallow-repository") == "true"

    async def branches(self) -> list[str]:
        """The full references of all branches, here and at origin."""
        return (await self._ask("for-each-ref", "--format=%(refname)", *_BRANCHES) or "").splitlines()

    async def pointers(self) -> list[str]:
        """Files that git keeps with LFS and whose content was not fetched.

        The first line of a pointer is fixed (Git LFS specification, docs/spec.md, "The Pointer").
        """
        first = "^version https://git-lfs.github.com/spec/v1$"
        found = await self._ask("grep", "--files-with-matches", "-e", first, "--", ":(top,attr:filter=lfs)")
        return (found or "").splitlines()

    async def commit_of_tag(self, tag: str) -> Commit | None:
        """The commit that a git tag names, through an annotated tag as well."""
        found = await self._ask("rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}")
        return commit_named(found) if found else None

    async def message_of_tag(self, tag: str) -> str | None:
        """The first paragraph of a tag's message as one line; None for a tag that is not there."""
        return await self._ask("for-each-ref", "--count=1", "--format=%(contents:subject)", f"refs/tags/{tag}") or None

    async def tree(self, path: str) -> str:
        """The object that a folder or file is in the commit that is checked out; empty when it is not there."""
        return await self._ask("rev-parse", "--verify", "--quiet", f"HEAD:{path}") or ""

    async def count(self, older: str, newer: str) -> int | None:
        """How many commits `newer` has that `older` has not; None when one of them is not in this history."""
        between = commit_range(older, newer)
        found = await self._ask("rev-list", "--count", between) if between else None
        return int(found) if found else None

    async def subjects(self, older: str, newer: str, most: int = 50) -> list[str]:
        """The commits between, newest first, one line each."""
        between = commit_range(older, newer)
        if not between:
            return []
        return (await self._ask("log", "--oneline", "--no-decorate", f"--max-count={most}", between) or "").splitlines()

    async def main_branch(self, named: str, branches: Sequence[str]) -> str | None:
        """The full name of the branch that says whom to trust, of `main_branches`; None in a history that has none."""
        listed = await self._ask("for-each-ref", "--format=%(refname) %(symref)", *_BRANCHES)
        there = dict(line.partition(" ")[::2] for line in (listed or "").splitlines())
        wanted = main_branches(there.get(_DEFAULT, ""), named, branches)
        found = next((branch for branch in wanted if branch in there), None)
        if named and not found:
            raise UsageError(
                f"There is no branch {named} in the source, here or at origin: fetch it (actions/checkout: "
                "fetch-depth: 0), or correct --trust-branch."
            )
        return found

    async def content(self, branch: str, path: str) -> str | None:
        """A text file as a branch has it; None when the branch has it not. UsageError when nobody can tell."""
        found = await self._ask("show", f"{branch}:{path}")
        if found is None and await self._ask("ls-tree", "--name-only", branch, "--", path) != "":
            raise UsageError(f"{path} of {branch} cannot be read from the source: expected a clone with all its files.")
        return found

    async def commit_time(self, commit: Commit) -> str:
        """The commit's time (RFC 3339)."""
        return await self._ask("show", "--no-patch", "--format=%cI", commit) or ""

    async def describe(self, commit: Commit) -> str:
        """A version for people: the nearest release tag with the distance from it, else the short commit."""
        found = await self._ask("describe", "--tags", "--match", "v[0-9]*.[0-9]*.[0-9]*", "--exclude", "*-*", commit)
        return found or commit[:12]

    async def branch(self) -> str:
        """The branch that is checked out; empty when none is."""
        return await self._ask("branch", "--show-current") or ""

    async def tags(self) -> list[str]:
        """The names of all tags."""
        return (await self._ask("tag", "--list") or "").splitlines()

    async def origin(self) -> str:
        """The URL of the remote `origin`, without anything that logs in; empty without one."""
        url = await self._ask("remote", "get-url", "origin") or ""
        scheme, separator, rest = url.rpartition("://")
        return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url

    async def _ask(self, *arguments: str) -> str | None:
        """What git prints, or None when it says no or knows nothing."""
        try:
            asked = await attempt(self.container, ["git", *arguments])
        except Killed as killed:
            if killed.code != _FATAL:
                raise
            return None
        return None if asked.code else asked.stdout.strip()
