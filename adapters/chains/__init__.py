"""How networks are really spoken to: one package per chain family, one line per family in `registry`."""
