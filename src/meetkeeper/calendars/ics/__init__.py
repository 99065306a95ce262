"""Room calendars published as an iCalendar file, on a disk or behind an address.

`client.py` fetches the file and knows by its validators whether anything changed, `mapping.py` is pure and
computes what changed by comparison. Nothing can be written back, and the source says so.
"""
