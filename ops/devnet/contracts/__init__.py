"""Contracts of the local chains: sources, artifacts, and the chain they are deployed on at the start."""
