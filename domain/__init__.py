"""What is true: the pure rules of the back office. Standard library only; no I/O, no clock, no framework."""
