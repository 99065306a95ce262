"""Room calendars on a CalDAV server: progress by sync-collection, write-back by conditional PUT.

`client.py` is the room's source, `server.py` what rooms on one server share (connections, gate, bounds); pure are
`mapping.py`, which knows CalDAV's words, and `dav.py`, which reads WebDAV's XML. Items' text belongs to `itemtext`.
Invalid sync tokens are an ordinary answer here: they cost a full read, never a meeting.
"""
