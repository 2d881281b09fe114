"""What the display shows, as numbers: enough to tell a screen that somebody drew from a black one and from text."""

import hashlib
from dataclasses import dataclass

MANY_COLOURS = 64
"""Letters with smooth edges alone bring more; a text console has sixteen."""


@dataclass(frozen=True)
class Picture:
    """One screen."""

    width: int
    height: int
    colours: int
    """Different ones among the pixels that were looked at."""
    fingerprint: str
    """The same for the same screen."""

    @property
    def drawn(self) -> bool:
        """Whether it is a screen of a graphical program."""
        return self.colours >= MANY_COLOURS


def read_ppm(content: bytes) -> Picture:
    """A picture in the format that QEMU's screendump writes by itself (PPM, binary, 8 bits a colour).

    Raises ValueError for anything else.
    """
    words = content.split(None, 4)
    if len(words) < 5 or words[0] != b"P6" or words[3] != b"255":
        raise ValueError("not a binary PPM of 8 bits")
    width, height = int(words[1]), int(words[2])
    pixels = content[-3 * width * height :]
    if len(pixels) < 3 * width * height:
        raise ValueError(f"{len(pixels)} bytes of pixels; expected {3 * width * height}")
    every = max(1, width * height // 100_000)
    colours = {pixels[at : at + 3] for at in range(0, len(pixels), 3 * every)}
    return Picture(width, height, len(colours), hashlib.sha256(pixels).hexdigest())
