"""The stable gate: a full regression run on an openQA server, from submission to verdict."""
