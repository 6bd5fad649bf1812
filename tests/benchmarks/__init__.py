"""Measurements with their conditions: `python -m tests.benchmarks --text PATH` prints one table and keeps every raw value.

Read `row.py` (what a row is), `ours.py` and `peer.py` (the two sides), then one file a figure; `report.py` writes it down.
"""
