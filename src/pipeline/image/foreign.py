"""Images of another architecture: their programs run here only where the kernel hands them to an emulator."""

FOREIGN = (
    "Its programs do not run on the engine's machine. Register an emulator with that machine's kernel (binfmt_misc: "
    "docker/setup-qemu-action on a runner, Debian's qemu-user-static with binfmt-support), or use an engine on a "
    "machine of that architecture."
)
"""What to do about it, for an error message."""


def looks_foreign(said: str) -> bool:
    """Whether the words of podman or its runtime are those of a program for another machine."""
    return "exec format error" in said.lower()
