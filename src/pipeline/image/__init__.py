"""The image gate's harness: lint, layout and unit tests of a built image. No Dagger; needs podman.

By hand: `python -m pipeline.image localhost/my-os --tests tests/os --report out`.
"""
