"""The machine that tries to break us: what happens is planned from a seed, and the nodes say what came of it."""
