"""Mask to solid: an even wall behind the evolved surface, openings, checks, files for the printer.

The command line checks sizes and processes with ``catalog`` before anything heavy loads.
"""
