"""Sweeps: runs of one experiment with different settings, how they are chosen, and their results."""
