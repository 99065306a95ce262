"""Meetkeeper beside its neighbours: one run, one machine, one disk, interleaved rounds (`python -m bench --help`)."""
