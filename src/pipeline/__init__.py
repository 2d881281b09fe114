"""Promote a bootc OS image from next through testing to stable: by digest, never rebuilt, each channel behind a gate.

next: built, linted, unit-tested. testing: its disk booted in QEMU, upgraded to and taken back. stable: a full openQA
run of that very disk. Stand in the repository with your Containerfile and a pipeline.toml, and call `doctor` first.
What each gate found is stored beside the image; `status`, `plan`, `why`, `verify` show it, `rollback` takes it back.
"""
