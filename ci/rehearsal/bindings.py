"""What `dagger develop` writes for a module that depends on this one, by the generators of Dagger's own release.

The engine of the lab makes bindings for Python alone, and none of a module's dependencies.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from rehearsal.lab import MODULE

ENGINE = MODULE / "ci" / "engine"
_DAGGER = "github.com/dagger/dagger"
_GRAPHQL = "graphql-core==3.2.8"
"""3.3 is not what Dagger's generator for Python was written for."""
_QUESTION = '{{ moduleSource(refString: "{module}") {{ introspectionSchemaJSON {{ contents }} }} }}'


def schema(module: Path, folder: Path) -> Path:
    """What a module sees of the API, its dependencies included, as a file in `folder`."""
    answer = subprocess.run(
        ["dagger", "--silent", "query", "--no-mod"],
        input=_QUESTION.format(module=module),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    path = folder / "schema.json"
    path.write_text(json.loads(answer.stdout)["moduleSource"]["introspectionSchemaJSON"]["contents"])
    return path


def python(schema: Path, module: Path) -> None:
    """`dagger_gen.py` beside the module's package."""
    generator = _sources() / "sdk" / "python" / "codegen" / "src"
    tools = schema.parent / "python"
    subprocess.run(["python3", "-m", "venv", tools], check=True)
    subprocess.run([tools / "bin" / "pip", "install", "--quiet", _GRAPHQL], check=True)
    command = [tools / "bin" / "python", "-m", "codegen", "generate", "-i", schema, "-o", module / "src/dagger_gen.py"]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(generator)}, check=True)


def go(schema: Path, module: Path) -> None:
    """go.mod, dagger.gen.go and internal/."""
    _generate(schema, module, "go")
    subprocess.run(["go", "mod", "tidy"], cwd=module, env=go_environment(), check=True)


def typescript(schema: Path, module: Path) -> None:
    """The library in sdk/, and what is installed with it."""
    sdk = _sources() / "sdk" / "typescript"
    shutil.copytree(sdk / "src", module / "sdk" / "src")
    shutil.copy(sdk / "package.json", module / "sdk")
    subprocess.run(["chmod", "--recursive", "u+w", module / "sdk"], check=True)  # Go's cache is read-only
    _generate(schema, module, "typescript")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=module, check=True)


def go_environment() -> dict[str, str]:
    """Where the checksum database has no answer: see ci/engine/README.md."""
    return os.environ | {"GONOSUMDB": "github.com/dagger/otel-go"}


def _generate(schema: Path, module: Path, language: str) -> None:
    words = ["--lang", language, "--introspection-json-path", schema, "--module-name", "examples"]
    command = [_codegen(), "generate-module", *words, "--module-source-path", ".", "--output", "."]
    # it goes on when the module it has just begun lacks checksums, which `go mod tidy` gets
    subprocess.run(command, cwd=module, check=False)


def _codegen() -> Path:
    """The program, compiled once."""
    version = _version()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bootc-pipeline" / f"codegen-{version}"
    if not (home / "codegen").exists():
        home.mkdir(parents=True, exist_ok=True)
        for name in "go.mod", "go.sum":
            shutil.copy(ENGINE / name, home)
        command = ["go", "build", f"-modfile={home / 'go.mod'}", "-mod=mod", "-o", home, f"{_DAGGER}/cmd/codegen"]
        subprocess.run(command, cwd=ENGINE, env=os.environ | {"CGO_ENABLED": "0"}, check=True)
    return home / "codegen"


def _version() -> str:
    (found,) = re.findall(rf"\s{_DAGGER} (v\S+)", (ENGINE / "go.mod").read_text())
    return str(found)


def _sources() -> Path:
    listed = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", _DAGGER], cwd=ENGINE, stdout=subprocess.PIPE, check=True, text=True
    )
    return Path(listed.stdout.strip())
