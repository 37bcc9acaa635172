"""Machines of before the networks: cascades, eigenfaces, binary patterns, correlation filters."""
