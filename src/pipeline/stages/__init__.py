"""The three promotions, each readable from top to bottom as a release engineer would tell it."""
