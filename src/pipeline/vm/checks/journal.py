"""Nothing bad in the journal of this boot."""

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.checks.console import summarise
from pipeline.vm.rules import Reader, Where
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found


async def _look(session: Session) -> Found:
    command = ("journalctl", "--boot", "--no-pager", "--output=short-monotonic", "--quiet")
    answer = await session.guest.run(*command, within=session.scaled(30))
    boot = len(session.machine.console.boots)
    name = "journal.txt" if boot == 1 else f"journal-boot{boot}.txt"
    (session.folder / name).write_text(answer.out)
    if not answer.out.strip():
        return Found([f"the journal cannot be read: {answer.err.strip() or 'it is empty'}"], "the journal of this boot")
    reader = Reader(Where.JOURNAL)
    matches = [match for line in answer.out.splitlines() for match in reader.read(line)]
    return summarise(matches, "a journal free of known bad lines", session.accelerator)


CHECK = VmCheck("journal", _look, again=True)
