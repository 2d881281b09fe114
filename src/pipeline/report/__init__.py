"""What a command found, as data (`model`) and as files for people and machines."""
