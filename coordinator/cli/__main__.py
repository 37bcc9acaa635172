"""``python -m coordinator.cli``: the same as ``datamask``."""

from coordinator.cli import main

main()
