"""Which jobs belong together: chains (START_AFTER_TEST) and machines that run beside each other (PARALLEL_WITH)."""

from collections.abc import Sequence

from pipeline.openqa.jobs import Job


def bootings(jobs: Sequence[Job], asset: str, disk: str) -> dict[int, str]:
    """For each job whose dependency tree booted the disk: the title of the job that did.

    Args:
        jobs: the newest of every chain of clones.
        asset: the setting that names the disk, such as HDD_1.
        disk: the name that it must have.

    Jobs outside of such a tree are not in the answer: nothing ties them to what is under test.
    """
    own = {number: job for job in jobs for number in (job.id, *job.replaces)}
    found = {job.id: job.title for job in jobs if job.settings.get(asset) == disk}
    edges = {(job.id, own[number].id) for job in jobs for number in job.relatives if number in own}
    edges |= {(there, here) for here, there in edges}
    reached = list(found)
    while reached:
        here = reached.pop()
        for there in sorted(target for start, target in edges if start == here and target not in found):
            found[there] = found[here]
            reached.append(there)
    return found
