"""One file for each model, or for each family of models whose files people bring.

A module here defines ``INFO`` (a :class:`~services.recognition.model.ModelInfo`) or ``FAMILY`` (a
:class:`~services.recognition.model.Family`), and ``build(info, device)``, which returns the model ready to
score on that torch device: a ``Detector`` (services/recognition/detect.py), a ``Recognizer``
(services/recognition/recognize.py) or a ``Correlator`` (services/recognition/correlate.py), as
``info.kind`` says; helpers that are no machine of their own leave ``build`` out. The module itself imports
neither torch nor any library of the model; ``build`` does. The catalog finds every module of this package by
itself, so that adding a model is adding a file; docs/models.md shows one.
"""
