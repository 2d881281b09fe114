"""init: what a repository lacks in order to use this pipeline, as files to look at and to commit."""

import re

import dagger
from dagger import dag

from pipeline.containers.git import History
from pipeline.each import each
from pipeline.errors import UsageError
from pipeline.policy.adoption.proposal import IGNORED, STAGE, WORKFLOWS, proposal
from pipeline.policy.adoption.seen import Seen

_READ = (".github/workflows/*.y*ml", ".github/actions/**/action.y*ml", "**/Containerfile*", "**/Dockerfile*")
_MOST = 200
"""Files that are read: no repository has more Containerfiles and workflows that say anything about its images."""
_LONGEST = 200_000


async def init(source: dagger.Directory, address: str) -> dagger.Changeset:
    """What is new, as changes of the source: what is there is left as it is, and a second call adds nothing.

    Raises UsageError for an address without version, and for a source that is no git repository.
    """
    if not re.search(r"@[\w./-]+$", address) and not address.startswith((".", "/")):
        raise UsageError(
            f"--address={address} names no version; expected this module's address with one, as the workflows will "
            "call it: github.com/OWNER/REPO@v1.2.3."
        )
    own = dag.current_module().source()
    paths = [*(f".github/workflows/{name}.yml" for name in WORKFLOWS), STAGE]
    texts = dict(zip(paths, await each(paths, lambda path: own.file(path).contents()), strict=True))
    found = proposal(await _seen(source), address, texts)
    adopted = source
    for path, text in found.files.items():
        adopted = adopted.with_new_file(path, text, permissions=0o755 if path in found.executable else 0o644)
    return adopted.changes(source)


async def _seen(source: dagger.Directory) -> Seen:
    history = History.of(source)
    await history.head()
    tree = source.without_directory(".git")
    read = [path for pattern in _READ for path in await tree.glob(pattern)][:_MOST]
    texts = await each(read, lambda path: tree.file(path).contents())
    return Seen(
        paths=sorted({*await tree.glob("**/*"), *read}),
        texts={path: text[:_LONGEST] for path, text in zip(read, texts, strict=True)},
        origin=await history.origin(),
        branch=await history.branch(),
        tags=await history.tags(),
        ignored="".join([await tree.file(path).contents() for path in await tree.glob(IGNORED)]),
    )
