"""The files that a repository gets. What is there already stays as it is, whoever wrote it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from pipeline.policy.adoption import seen as looking
from pipeline.policy.adoption.seen import ImageSeen, Seen

CONFIGURATION = "pipeline.toml"
WORKFLOWS = ("build-next", "refresh-next", "pull-request", "test-qemu", "release-stable", "channels", "prune")
STAGE = ".github/workflows/stage.yml"
IGNORED = ".gitignore"
EXPORTS = "out"
"""The folder to which the commands of docs/ export."""
_EXPORTED = re.compile(rf"!?(\*\*/|/)?{EXPORTS}(/|/\*{{1,2}})?")
"""A line of .gitignore about it, also one that takes it in again (gitignore(5))."""
_HERE = "./.github/workflows/stage.yml"
_SAMPLES = {
    "tests/os/os-release": "os-release",
    "tests/vm/test_system.py": "testinfra.txt",
    "openqa/scenarios.yaml": "scenarios.yaml",
}
"""What goes where, from the folder `samples`; the first line of a script makes it one that can be run."""


@dataclass(frozen=True)
class Proposal:
    """What is new."""

    files: dict[str, str] = field(default_factory=dict)
    """Text by path."""

    @property
    def executable(self) -> set[str]:
        """Those that are programs."""
        return {path for path, text in self.files.items() if text.startswith("#!")}


def proposal(seen: Seen, address: str, own: Mapping[str, str]) -> Proposal:
    """What this repository lacks.

    Args:
        seen: the repository.
        address: of this module, with a version: `github.com/OWNER/REPO@v1.2.3`.
        own: the text of this module's own workflows, by path.
    """
    host, _ = looking.registry(seen)
    mounts = any(image.secrets for image in looking.images(seen))
    wanted = {CONFIGURATION: configuration(seen, address)}
    wanted |= {path: _sample(name) for path, name in _SAMPLES.items() if not _has_folder(seen, path)}
    wanted |= {
        path: workflow(own[path], address, host, _branch(seen), build_secrets=mounts)
        for path in (f".github/workflows/{name}.yml" for name in WORKFLOWS)
    }
    if not _project(address):
        wanted[STAGE] = own[STAGE]
    new = {path: text for path, text in wanted.items() if path not in seen.paths}
    return Proposal(new if _says_of_exports(seen) else {**new, IGNORED: _ignoring(seen.ignored)})


def _says_of_exports(seen: Seen) -> bool:
    """Whether .gitignore has that folder in a line of its own, also one that takes it in again (`!`)."""
    return any(_EXPORTED.fullmatch(line.strip()) for line in seen.ignored.splitlines())


def _ignoring(text: str) -> str:
    """The same .gitignore with a line more."""
    before = text if text.endswith("\n") or not text else f"{text}\n"
    why = "Exports of the pipeline. From a tree with files that git neither has nor ignores, no build is pushed."
    return f"{before}# {why}\n/{EXPORTS}/\n"


def workflow(text: str, address: str, registry: str, branch: str, *, build_secrets: bool = False) -> str:
    """One of this module's own workflows for another repository; `build_secrets`: its builds mount some."""
    if found := _project(address):
        project, version = found
        text = text.replace(f"uses: {_HERE}", f"uses: {project}/.github/workflows/stage.yml@{version}")
    text = text.replace("branches: [main]", f"branches: [{branch}]").replace("commit on main", f"commit on {branch}")
    text = text.replace("      module: .\n", f"      module: {address}\n")
    if "stage: gate-next" in text:  # a stranger's proposal
        return text
    login, secrets = "", []
    if registry not in ("", "ghcr.io"):
        login = f"      registry: {registry}\n      registry-user: ${{{{ vars.REGISTRY_USER }}}}\n"
        secrets.append("REGISTRY_PASSWORD")
    if build_secrets and "stage: build-next" in text:
        secrets.append("BUILD_SECRETS")
    if not secrets:
        return text
    head, _, rest = text.partition("    secrets:")
    note, _, others = rest.partition("\n")
    named = "".join(f"      {name}: ${{{{ secrets.{name} }}}}\n" for name in secrets)
    return f"{head}{login}    secrets:{note}\n{named}{others}"


def configuration(seen: Seen, address: str) -> str:
    """pipeline.toml, with what could not be known at its top."""
    blocks = [_head(seen, address)]
    if (branch := _branch(seen)) != "main":
        blocks.append(f'main_branch = "{branch}" # only commits on it are pushed\n')
    blocks += [_image(seen, image) for image in _images(seen)]
    blocks += [_next_gate(), _testing_gate(seen), _sample("stable.toml")]
    return "\n".join(blocks)


def unknown(seen: Seen) -> list[str]:
    """What somebody has to say or look at, one sentence each."""
    host, path = looking.registry(seen)
    found, (_, other_disks) = looking.images(seen), looking.disk_configuration(seen)
    told = []
    if not found:
        told.append("No Containerfile was found: say in containerfile what the image is built from.")
    if not host or not path:
        told.append("Nothing tells to which registry images go: correct repository.")
    elif host != "ghcr.io":
        told.append(
            f"Whether images lie below {host}/{path}: correct repository. "
            "The workflows want the variable REGISTRY_USER and the secret REGISTRY_PASSWORD."
        )
    if len(found) > 1:
        told.append("Each Containerfile is taken for an image of its own; remove the tables of those that are not.")
    told += [f"{one.containerfile} has ARG lines without a value: build_args below." for one in found if one.open_args]
    told += [
        f"{one.containerfile} mounts {', '.join(one.secrets)}: take build.secrets in, and give the workflows a secret "
        "BUILD_SECRETS with a line NAME=VALUE for each."
        for one in found
        if one.secrets
    ]
    told += [
        f"{one} configures a disk, and which one is not known: gates.testing.builder.config." for one in other_disks
    ]
    told += [f"{one} pushes images, too: let it stop once build-next.yml does." for one in looking.pushes(seen)]
    if seen.ignored and not _says_of_exports(seen):
        told.append(f"{IGNORED} has a new last line, /{EXPORTS}/, where the commands of the documentation export to.")
    if release := looking.highest_release(seen):
        told.append(f"There are releases up to {release}: the next one of the pipeline has to be above the stable one.")
    told.append(
        "Which openQA server and which object store: [gates.stable] below; without them nothing gets to :stable."
    )
    return told


def schema_address(address: str) -> str:
    """Where editors find the schema; empty for a module that is not at GitHub."""
    if not (found := _project(address)):
        return ""
    project, version = found
    return f"https://raw.githubusercontent.com/{project}/{version}/pipeline.schema.json"


def _project(address: str) -> tuple[str, str] | None:
    """Project and version of a module at GitHub, whose workflows others can call."""
    found = re.fullmatch(r"(?:https://)?github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?@([\w./-]+)", address)
    return (found[1], found[2]) if found else None


def _branch(seen: Seen) -> str:
    return seen.branch if re.fullmatch(r"[\w./-]+", seen.branch) else "main"


def _images(seen: Seen) -> list[ImageSeen]:
    return looking.images(seen) or [ImageSeen(seen.project[2] or "os", "Containerfile")]


def _has_folder(seen: Seen, path: str) -> bool:
    """A folder of tests that is there is the user's, whatever is in it."""
    folder = path.rpartition("/")[0]
    return any(one.startswith(f"{folder}/") for one in seen.paths)


def _head(seen: Seen, address: str) -> str:
    lines = [f"#:schema {schema}"] if (schema := schema_address(address)) else []
    lines += ["# How the image goes from next through testing to stable.", "# Not known, and for you to look at:"]
    told = unknown(seen)
    if address.startswith((".", "/")):
        told.append(
            f"From where a runner gets the pipeline: {address}, which the workflows call, is on this machine only."
        )
    return "".join(f"{line}\n" for line in [*lines, *(f"# - {one}" for one in told)])


def _image(seen: Seen, image: ImageSeen) -> str:
    host, path = looking.registry(seen)
    repository = f"{host or 'registry.example.org'}/{path or 'owner'}/{image.name}"
    lines = [f"[images.{image.name.replace('.', '-')}]", f'repository = "{repository}"']
    if image.containerfile != "Containerfile":
        lines.append(f'containerfile = "{image.containerfile}"')
    if len(looking.platforms(seen)) > 1:
        lines.append(f"platforms = {_list(looking.platforms(seen))} # by what the workflows build")
    if image.open_args:
        values = ", ".join(f'{name} = ""' for name in image.open_args)
        lines.append(f"# build_args = {{ {values} }}")
    if image.secrets:
        lines.append(f"# build = {{ secrets = {_list(list(image.secrets))} }}")
    return "".join(f"{line}\n" for line in lines)


def _next_gate() -> str:
    return '[gates.next]\ntests = "tests/os" # programs that run inside the built image, without network\n'


def _testing_gate(seen: Seen) -> str:
    builder = []
    if kind := looking.root_file_system(seen):
        builder.append(f"args = {_list(['--type', 'qcow2', '--rootfs', kind])}")
    if disk := looking.disk_configuration(seen)[0]:
        builder.append(f'config = "{disk}"')
    lines = ["[gates.testing]"]
    if builder:
        lines.append(f"builder = {{ {', '.join(builder)} }}")
    lines += [
        '# services = ["podman.socket"] # must be active after the boot, beside what the image enables',
        'boot_budget = "5m"',
        'checks = "tests/vm" # programs and pytest-testinfra modules against the booted system',
    ]
    return "".join(f"{line}\n" for line in lines)


def _list(words: list[str]) -> str:
    return json.dumps(words)


def _sample(name: str) -> str:
    return (files("pipeline.policy.adoption") / "samples" / name).read_text(encoding="utf-8")
