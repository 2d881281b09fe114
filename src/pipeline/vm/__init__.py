"""The VM gate: boots a disk image in QEMU as a user's machine would, and finds what would hurt users.

Runs by hand on any Linux machine (`python -m pipeline.vm disk.qcow2 --report out`) and in the toolbox container; it
knows nothing of Dagger. The story is told in `gate.py`; one file per check lies in `checks/`.
"""
