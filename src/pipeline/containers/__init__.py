"""One file for each tool container: which image, which arguments, which mounts."""
