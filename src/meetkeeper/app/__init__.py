"""Putting the house together: the configuration, the wiring, the entry point and the demonstration.

Floor 7. `wiring.py` is the only place that picks adapters; everywhere else sees ports.
"""
