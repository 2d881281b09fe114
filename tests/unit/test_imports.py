"""What runs inside Dagger's runtime has the project's dependencies and nothing of the toolbox containers."""

import subprocess
import sys

PROGRAM = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"asyncssh", "obstore", "pytest", "qemu", "testinfra"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import pipeline.main
"""


def test_the_module_loads_without_what_only_the_tool_containers_have():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
