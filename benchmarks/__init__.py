"""Measurements: one script per stage and one end to end; each writes JSON under `benchmarks/results/`."""
