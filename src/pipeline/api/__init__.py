"""What other modules see: commands whose result is an object, and images, candidates, disks and evidence to chain."""
