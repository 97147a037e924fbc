"""How sure a verdict is: exact binomial statements, windows, paths along a run, other seeds."""
