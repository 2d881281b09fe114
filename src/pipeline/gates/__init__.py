"""What a candidate goes through, each gate by itself, and what is kept of it."""
