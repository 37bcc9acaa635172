"""Genome to vertices: the face basis, its decoder, measures of folds, and glTF export.

``build_basis`` (with ``makehuman``, ``genes`` and ``cut``) rebuilds the data file and is needed by nobody who
only runs datamask.
"""
