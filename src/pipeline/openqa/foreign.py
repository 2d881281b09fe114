"""Text that a stranger wrote: the server, its tests, or whoever answers in its place."""


def readable(value: object, length: int) -> str:
    """One text that can do nothing but be read, of at most `length` characters."""
    text = "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in str(value))
    return text if len(text) <= length else text[: length - 1] + "…"
