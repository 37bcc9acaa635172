"""Mask to solid: an even wall behind the evolved surface, openings, checks, files for the printer.

``catalog`` is torch-free: the command line checks sizes and processes with it before anything heavy loads.
"""
