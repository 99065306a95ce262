"""Room calendars on a CalDAV server: progress by sync-collection, write-back by conditional PUT.

`client.py` speaks WebDAV, `mapping.py` translates iCalendar to our words and is pure. Invalid sync tokens
are an ordinary answer here: they cost a full read, never a meeting.
"""
