"""Which packages an image holds, by its own package database: what `plan` compares."""

from pipeline.image.podman import run_inside

FILE = "packages.txt"
"""In the report of the image gate: one `name version` a line, sorted; absent for an image without a database."""

_QUERIES = {
    "rpm": ["rpm", "--query", "--all", "--queryformat", "%{NAME} %{EVR}\n"],
    "dpkg-query": ["dpkg-query", "--show", "--showformat", "${Package} ${Version}\n"],
}


async def packages(image: str, *, deadline: float) -> list[str]:
    """The installed packages as `name version`, sorted; none when neither rpm nor dpkg answers."""
    for query in _QUERIES.values():
        found = await run_inside(image, query, deadline=deadline)
        if found.code == 0:
            return sorted(line for line in found.stdout.splitlines() if line)
    return []
