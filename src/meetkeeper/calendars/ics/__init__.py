"""Room calendars as a folder of iCalendar files, one item each: for shares, exports, scripts and demonstrations.

`client.py` looks at the folder, reads and writes files; `mapping.py`, pure, packs what it saw into cookies. A file
that somebody is still writing is a problem until it settles, never an item half read and never gone.
"""
