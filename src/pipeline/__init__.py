"""Moves an immutable bootc OS image from `next` through `testing` to `stable`, each channel behind its gate.

`main` is the Dagger API; `stages` tell the story; `policy` decides; `containers`, `registry`, `openqa` and `vm` do.
"""
