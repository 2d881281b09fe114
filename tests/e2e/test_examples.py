"""What stands in examples/, in each language, on a candidate that another module built.

Shell and Python run as users run them. The engine of the lab has no runtime for Go and TypeScript: their functions are
compiled with the bindings that Dagger's own generators make, and called in a session of it.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from rehearsal import bindings, registry
from rehearsal.lab import MODULE, REGISTRY, REGISTRY_AUTH

EXAMPLES = MODULE / "examples"
GO = """
package main

import ("context"; "fmt"; "os"; "testing")

func TestExamples(t *testing.T) {
	ctx := context.Background()
	if err := dag.ModuleSource(os.Getenv("MODULE")).AsModule().Serve(ctx); err != nil { t.Fatal(err) }
	source, auth := dag.Address(os.Getenv("SOURCE")).Directory(), dag.Address("env://REGISTRY_AUTH").Secret()
	service, examples := dag.Address(os.Getenv("REGISTRY")).Service(), &Examples{}
	files, err := examples.BootcPipelineImage(source, auth, service, "sample-os", "next").Entries(ctx)
	if err != nil { t.Fatal(err) }
	told, err := examples.BootcPipelineResults(ctx, source, auth, service, "v9.9.9-test")
	if err != nil { t.Fatal(err) }
	fmt.Println(files, told)
}
"""
TYPESCRIPT = """
import { connection, dag } from "@dagger.io/dagger"
import { Examples } from "./index.js"

await connection(async () => {
  await dag.moduleSource(process.env.MODULE!).asModule().serve()
  const given = [
    dag.address(process.env.SOURCE!).directory(),
    dag.address("env://REGISTRY_AUTH").secret(),
    dag.address(process.env.REGISTRY!).service(),
  ] as const
  const told = [await new Examples().bootcPipelineVerify(...given), await new Examples().bootcPipelineStatus(...given)]
  console.log(JSON.stringify(told))
})
"""


@pytest.fixture(scope="module")
def schema(tmp_path_factory) -> Path:
    return bindings.schema(EXAMPLES / "python", tmp_path_factory.mktemp("schema"))


@pytest.fixture(scope="module")
def bare(repository):
    """The sample OS's repository without what is asked of the sample OS: the image is another one."""
    for line in ('tests = "tests/os"\n', 'checks = "tests/vm"\n', ', "sample-os-greeting.service"'):
        repository.replace("pipeline.toml", line, "")
    repository.commit("An image that others build")
    return repository


@pytest.fixture(scope="module")
def module(schema):
    """The Python example with its bindings, which the lab's runtime takes in the place of its own."""
    module = EXAMPLES / "python"
    bindings.python(schema, module)
    yield module
    (module / "src" / "dagger_gen.py").unlink()


@pytest.fixture(scope="module")
def candidate(bare, module) -> str:
    """What the Python example submits; its digest."""
    words = [f"--source={bare.path}", "--registry-auth=env://REGISTRY_AUTH"]
    words += [f"--registry=tcp://localhost:{REGISTRY}", f"--base=localhost:{REGISTRY}/lab/tiny-os:bookworm"]
    command = ["dagger", "--progress=plain", "call", "-m", module, "bootc-pipeline-submit-next", *words]
    done = subprocess.run(command, env=_environment(bare), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return registry.digest(bare.image, "next") or ""


def test_a_container_of_another_module_is_submitted_from_python(bare, candidate):
    assert candidate == registry.digest(bare.image, bare.head())


def test_go(bare, candidate, schema, tmp_path):
    module = Path(shutil.copytree(EXAMPLES / "go", tmp_path / "go"))
    bindings.go(schema, module)
    (module / "examples_test.go").write_text(GO)
    told = _in_session(["go", "test", "-count=1", "-v", "."], module, bindings.go_environment() | _environment(bare))
    assert "report.html" in told
    assert "precondition · " in told


@pytest.fixture
def npm() -> None:
    """Where its packages can be had; everything else that tests fetch comes from other places."""
    asked = shutil.which("npm") and subprocess.run(["npm", "view", "typescript", "version"], capture_output=True)
    if not asked or asked.returncode:
        pytest.skip("no npm, or no npm packages: the TypeScript example is not compiled")


@pytest.mark.usefixtures("npm")
def test_typescript(bare, candidate, schema, tmp_path):
    module = Path(shutil.copytree(EXAMPLES / "typescript", tmp_path / "typescript"))
    bindings.typescript(schema, module)
    subprocess.run(["npx", "tsc", "--project", "."], cwd=module, check=True)
    (module / "src" / "run.ts").write_text(TYPESCRIPT)
    told = _in_session(["npx", "--yes", "tsx", "src/run.ts"], module, _environment(bare))
    outcome, status = json.loads(next(line for line in told.splitlines() if line.startswith("[")))
    assert outcome == "passed"
    assert candidate in status


def test_shell(bare, candidate, pipeline, tmp_path):
    bare.tag("v1.0.0-test")
    tool = tmp_path / "dagger"  # the lab is not where the world is
    tool.write_text(
        f'#!/bin/bash\nfor word; do words+=("$word"); [ "$word" != call ] || words+=(--registry=tcp://localhost:{REGISTRY})\n'
        f'done\nexec {shutil.which("dagger")} "${{words[@]}}"'
    )
    tool.chmod(0o755)
    environment = _environment(bare) | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "USER": "someone"}
    script = EXAMPLES / "shell" / "bootc_pipeline_promote_testing.sh"
    subprocess.run([script, "v1.0.0-test"], cwd=bare.path, env=environment, check=True)
    assert registry.digest(bare.image, "testing") == candidate


def _environment(repository) -> dict[str, str]:
    return os.environ | {
        "MODULE": str(MODULE),
        "SOURCE": str(repository.path),
        "REGISTRY": f"tcp://localhost:{REGISTRY}",
        "REGISTRY_AUTH": REGISTRY_AUTH,
    }


def _in_session(command: list[str], module: Path, environment: dict[str, str]) -> str:
    """What it prints, with a session of the engine in its environment, as an SDK's runtime has one."""
    run = ["dagger", "--silent", "run", *command]
    done = subprocess.run(run, cwd=module, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
