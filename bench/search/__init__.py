"""``python -m bench.search``: datamask's search beside optimizers that anyone could take instead.

`problem`: what every contender is asked and charged for; `contenders`, `library`, `datamask`: the
contenders, each with its settings; `cell`: one
contender on one task with one seed; `summary`: tables and plots of many cells.
"""
