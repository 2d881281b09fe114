"""Who said it: in-toto statements, their signatures, and whose count. Pure: nothing here reads a registry."""
