"""Benchmarks: how fast the inner loop is, and how well its results hold. Run from a checkout."""
