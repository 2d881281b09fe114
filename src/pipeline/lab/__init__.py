"""The pipeline's surroundings in a box: registry, object store and openQA as Dagger services.

A lab is for trying the pipeline, for its own tests and for the demo: everything in it is real, small and throw-away.
"""
