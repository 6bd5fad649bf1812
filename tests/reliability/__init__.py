"""Faults on purpose, with real processes and real files: `python -m tests.reliability` runs the long form and prints a table."""
