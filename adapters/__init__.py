"""How the world is really spoken to. Each adapter implements a port of `domain.ports`; only `wiring` opens them."""
