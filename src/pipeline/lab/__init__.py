"""The pipeline's surroundings in a box: registry, object store and openQA as Dagger services.

A lab is for trying the pipeline, for its own tests and for the demo: everything in it is real, small and throw-away.
"""

from pipeline.lab.box import lab
from pipeline.lab.files import lab_files
from pipeline.lab.images import OLD

__all__ = ["OLD", "lab", "lab_files"]
