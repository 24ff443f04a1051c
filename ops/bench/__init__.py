"""Measurements: ours against the barest equivalent, interleaved on one machine in one run."""
