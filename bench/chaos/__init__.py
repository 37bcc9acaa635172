"""Whole runs in which something breaks: ``python -m bench.chaos``."""
