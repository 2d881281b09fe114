"""The promotion tests share modules beside this file: a registry in memory, a clock that jumps, a pipeline on both."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
