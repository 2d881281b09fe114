"""What a promotion is about."""

from dataclasses import dataclass

from pipeline.config import Image
from pipeline.policy.candidate import Candidate


@dataclass(frozen=True)
class Subject:
    """One image of a promotion, with the candidate that it is about."""

    image: Image
    candidate: Candidate
