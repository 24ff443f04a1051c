"""The demonstration: real withdrawals over REST on real parts, and the evidence that each was paid exactly once."""
