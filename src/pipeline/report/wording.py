"""The sentences that all reports share: the headline, what became of the tags, what to do next."""

from collections import Counter

from pipeline.domain import Outcome
from pipeline.quantities import duration_text
from pipeline.report.excerpt import first_sentence
from pipeline.report.model import Check, CheckStatus, Result

ADVICE = "advice"
"""The word for what failed and stops nothing; machines read its status and `required`."""

MARKS = {
    CheckStatus.PASSED: "✔",
    CheckStatus.FAILED: "✘",
    CheckStatus.WAIVED: "≈",
    CheckStatus.SKIPPED: "○",
    CheckStatus.INFRA: "!",
    ADVICE: "△",
}
"""One character for each word of a status; the word stands beside it wherever there is room."""

_AFTER_SUCCESS = {
    "doctor": "Run the first stage from a commit on main: build-next.",
    "build-next": "To promote it, put a tag vX.Y.Z-test on this commit and push the tag (promote-testing).",
    "gate-next": "The gate would let this tree through; build-next pushes it.",
    "gate-testing": "The gate would let this image through; promote-testing moves the tags.",
    "promote-testing": "Try the image from :testing; to release it, tag the same commit vX.Y.Z (promote-stable).",
    "promote-stable": "Installed systems that follow this image get it with their next update.",
    "rollback": "Installed systems take the older image with their next update; release-hold ends the hold.",
    "hold": "Promotions stay away from the channel until release-hold.",
    "release-hold": "The next promotion may move the channel again.",
    "record-loss": "Find out what was lost; release-hold lets the channel move again.",
    "import-from": "Point workflows, update_ref and installed systems to the new place; the old one may go.",
    "plan": "If this is what you want, run the promotion itself.",
}

_MOVERS = {"build-next", "promote-testing", "promote-stable"}
"""Their gate's report is written before any tag moves, and must not speak as if it had."""

NOT_PUSHED = "; not pushed: "
"""In the reason of a build that passed: what follows says why it went nowhere."""

_UNTRACKED = "Files that are none of the image's (?? in the list) belong outside the repository or into .gitignore."

DISK = "disk artifact"
"""The input that names a disk in the registry; where there is none, nothing can be booted again."""

_REPRODUCE = "dagger call reproduce --ref={digest} --public-key=$HOME/.ssh/id_ed25519.pub up"

_AFTER = {
    Outcome.UNCHANGED: "Nothing: everything was already as it should be.",
    Outcome.SUPERSEDED: "Nothing: the channel already has a newer commit.",
    Outcome.GATE_FAILED: "Read the failed checks, correct them in a new commit and start again with that one.",
    Outcome.USAGE: "Correct the tag, the argument or pipeline.toml as said above; nothing has moved.",
    Outcome.PRECONDITION: "Do what the reason above says, then run the same command again; nothing has moved.",
    Outcome.CONFLICT: "Somebody else changed the registry meanwhile: look at status, then run the same command again.",
    Outcome.PARTIAL: "Run the same command again: it finishes what is left.",
    Outcome.INFRA: "Run the same command again once the service is back: the image was not judged.",
}


def command_name(result: Result) -> str:
    """The command without its arguments."""
    return result.command.split(" ", 1)[0]


def outcome_text(outcome: Outcome) -> str:
    """The outcome as words."""
    return outcome.value.replace("_", " ")


def headline(result: Result) -> str:
    """Outcome, command and the reason's first sentence, on one line."""
    subject = f"{result.command} {result.tag}" if result.tag and result.tag not in result.command else result.command
    return f"{outcome_text(result.outcome)} · {subject}: {first_sentence(result.reason)}"


def explanation(result: Result) -> str:
    """The whole reason, when it says more than the headline does; else nothing."""
    reason = result.reason.strip()
    return "" if first_sentence(reason) == reason.rstrip(".") else reason


def next_step(result: Result) -> str:
    """What the reader does now."""
    if result.outcome is Outcome.PASSED:
        name = command_name(result)
        if name in _MOVERS and not result.plan:
            if NOT_PUSHED in result.reason:
                return "Change what kept it from being pushed, then run build-next again. " + _UNTRACKED
            return "This is what the gate found; status shows where the tags are."
        return _AFTER_SUCCESS.get(name, "Nothing.")
    kept = any(name.rpartition("/")[2] == DISK for name in result.inputs)
    if result.outcome is Outcome.GATE_FAILED and kept and result.digest:
        return f"{_AFTER[result.outcome]} To look around in it: {_REPRODUCE.format(digest=result.digest)}"
    return _AFTER[result.outcome]


def moves_text(result: Result) -> str:
    """What became of the planned moves; it never claims more than the outcome tells."""
    name = command_name(result)
    match result.outcome:
        case Outcome.PASSED if name == "plan" or name.startswith("gate-"):
            return "Nothing was moved; these would be."
        case Outcome.PASSED:
            return "These tags were moved and read back."
        case Outcome.GATE_FAILED | Outcome.USAGE | Outcome.PRECONDITION:
            return "None of these tags was moved."
        case Outcome.PARTIAL:
            return "Some of these tags were moved; running the command again moves the rest."
        case _:
            return "This was the plan; status shows where the channels are."


def checks_text(checks: list[Check]) -> str:
    """How many checks ended how, as in `7 passed, 1 failed, 2 advice`."""
    counts = Counter(map(status_word, checks))
    return ", ".join(f"{counts[word]} {word}" for word in MARKS if counts[word])


def status_word(check: Check) -> str:
    """The status, or ADVICE."""
    return ADVICE if check.status is CheckStatus.FAILED and not check.required else check.status.value


def status_text(check: Check) -> str:
    """The word for the status; said when it does not count."""
    word = status_word(check)
    return word if check.required or word == ADVICE else f"{word} (not required)"


def mark(check: Check) -> str:
    """The character for it."""
    return MARKS[status_word(check)]


def facts(result: Result) -> list[tuple[str, str]]:
    """What the result is about, as pairs of name and value, absent ones left out."""
    pairs = [
        ("image", result.image),
        ("repository", result.repository),
        ("digest", result.digest or ""),
        ("commit", result.commit or ""),
        ("tag", result.tag or ""),
        ("started", f"{result.started:%Y-%m-%d %H:%M:%S} UTC"),
        ("took", duration_text(result.duration) if result.duration else ""),
        ("exit code", str(result.exit_code)),
    ]
    return [(name, value) for name, value in pairs if value]
