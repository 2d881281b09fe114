"""/usr cannot be written, where the image promises that.

The promise is the deployment itself: ostree and composefs put it on the kernel command line (ostree-prepare-root(1)).
"""

import re

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found, Skipped

_DEPLOYMENT = re.compile(r"(?:^|\s)(?:ostree|composefs)=\S+|\ssystemd\.verity=|\susrhash=|\sroothash=")


async def _look(session: Session) -> Found | Skipped:
    arguments = await session.guest.out("cat", "/proc/cmdline")
    promised = session.spec.usr_read_only
    if promised is None:
        promised = promises(arguments)
    if not promised:
        return Skipped("not-promised", "the system is no ostree or composefs deployment")
    mount = await session.guest.out("findmnt", "--noheadings", "--target", "/usr", "--output", "SOURCE,FSTYPE,OPTIONS")
    attempt = await session.guest.run("sh", "-c", "f=$(mktemp /usr/.gate-XXXXXX) && rm -f $f")
    if attempt.ok:
        return Found(["a file could be written to /usr"], "a read-only file system", output=mount)
    return Found(note=attempt.err.strip(), output=mount)


def promises(arguments: str) -> bool:
    """Whether a kernel command line belongs to a system whose /usr is fixed."""
    return _DEPLOYMENT.search(arguments) is not None


CHECK = VmCheck("usr-read-only", _look)
