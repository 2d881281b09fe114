"""The decisions: pure functions over plain values, no I/O, no Dagger."""
